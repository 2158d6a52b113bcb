"""Other people's CLIP files: the same numbers, whatever the format."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model.checkpoints import (
    read_foreign,
)
from model.dual_encoder import DualEncoder
from model.zoo import ClipArchitecture
from tests.model import clip_files
from tests.model.clip_files import RESNET, VIT

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

GELU = clip_files.with_activation(VIT, "gelu")


def same_embeddings(
    one: DualEncoder, other: DualEncoder, image_size: int, tolerance: float
) -> None:
    """Both give the same unit vectors for the same pictures and texts."""
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randn(2, 3, image_size, image_size, generator=generator)
    ids = torch.randint(0, 49_000, (2, 9), generator=generator)
    ids[:, 7:] = 49_407
    are_tokens = torch.ones_like(ids, dtype=torch.bool)
    with torch.inference_mode():
        for ours, theirs in (
            (one.encode_images(pixels), other.encode_images(pixels)),
            (one.encode_texts(ids, are_tokens), other.encode_texts(ids, are_tokens)),
        ):
            torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def state_dict(tensors: dict[str, Tensor], path: Path) -> None:
    """What `torch.save(model.state_dict())` writes."""
    torch.save(tensors, path)


def legacy(tensors: dict[str, Tensor], path: Path) -> None:
    """What torch wrote before it wrote archives."""
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def training(tensors: dict[str, Tensor], path: Path) -> None:
    """What OpenCLIP keeps of a run on several processes, optimizer and all."""
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    state = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save(
        {"epoch": 3, "name": "run", "state_dict": state, "optimizer": optimizer.state_dict()}, path
    )


def compiled(tensors: dict[str, Tensor], path: Path) -> None:
    """A compiled model's names, in safetensors."""
    save_file({f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}, path)


def custom_text(tensors: dict[str, Tensor], path: Path) -> None:
    """OpenCLIP's names where the text tower is a module of its own."""
    renamed = {
        name if name.startswith("visual.") or name == "logit_scale" else f"text.{name}": tensor
        for name, tensor in tensors.items()
    }
    save_file(renamed | {"text.attn_mask": torch.zeros(16, 16)}, path)


@pytest.mark.parametrize("architecture", [GELU, clip_files.with_activation(RESNET, "gelu")])
@pytest.mark.parametrize("write", [state_dict, legacy, training, compiled, custom_text, save_file])
def test_a_model_is_the_same_from_every_file(
    tmp_path: Path, architecture: ClipArchitecture, write: Callable[[dict[str, Tensor], Path], None]
) -> None:
    """Sizes come from the shapes, every tensor bit for bit from the file."""
    original = clip_files.model(architecture)
    path = tmp_path / "weights.pt"
    write(clip_files.openai_names(original.state_dict()), path)
    checkpoint = read_foreign(path)
    assert checkpoint.architecture == architecture
    assert checkpoint.tensors.keys() == original.state_dict().keys()
    for name, tensor in original.state_dict().items():
        assert torch.equal(checkpoint.tensors[name], tensor)
