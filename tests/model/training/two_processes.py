"""One training step of the tiny model, by as many processes as the environment names."""

import os
import sys
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from model.training.cached_gradients import backward_in_chunks
from model.training.loss import paired_loss
from model.training.processes import joined_processes
from tests.model import tiny

SIZE, CHUNK = 24, 5


def gradients() -> dict[str, Tensor]:
    """The loss and every gradient, by name, in double precision."""
    torch.manual_seed(1)
    model = tiny.ARCHITECTURE.build().double().eval()
    random = torch.Generator().manual_seed(2)
    pixels = torch.randn(SIZE, 3, 32, 32, generator=random, dtype=torch.double)
    ids = torch.randint(5, 18, (SIZE, 6), generator=random)
    starts = range(0, SIZE, CHUNK)

    def loss_of(images: Tensor, texts: Tensor) -> Tensor:
        return paired_loss(
            F.normalize(model.image_projection(images), dim=-1),
            F.normalize(model.text_projection(texts), dim=-1),
            torch.eye(SIZE, dtype=torch.bool),
            model.logit_scale.exp(),
        )

    with joined_processes() as processes:
        loss = backward_in_chunks(
            [
                [partial(model.image_tower, pixels[at : at + CHUNK]) for at in starts],
                [
                    partial(model.text_tower, ids[at : at + CHUNK], ids[at : at + CHUNK] > 0)
                    for at in starts
                ],
            ],
            loss_of,
            processes,
        )
        processes.sum_gradients(model.parameters())
    found = {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {"loss": loss, **found}


if __name__ == "__main__":
    torch.set_num_threads(1)
    save_file(gradients(), Path(sys.argv[1]) / f"{os.environ['RANK']}.safetensors")
