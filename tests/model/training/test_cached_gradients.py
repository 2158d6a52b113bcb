"""The memory-saving backward pass against the plain one."""

from functools import partial

import pytest
import torch
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.training.cached_gradients import GRAPH_BYTES, backward_in_chunks
from model.training.loss import contrastive_loss
from tests.model import tiny

SIZE = 64


def model() -> DualEncoder:
    """The tiny model in double precision, so that only the method can differ."""
    torch.manual_seed(1)
    return tiny.ARCHITECTURE.build().double().eval()


def loss_of(encoder: DualEncoder, images: Tensor, texts: Tensor) -> Tensor:
    """The contrastive loss of tower features."""
    own = torch.arange(SIZE)
    image_vectors = torch.nn.functional.normalize(encoder.image_projection(images), dim=-1)
    text_vectors = torch.nn.functional.normalize(encoder.text_projection(texts), dim=-1)
    return contrastive_loss(image_vectors, text_vectors, own, own, encoder.logit_scale.exp())


@pytest.mark.parametrize("graph_limit", [0, 5_000_000, GRAPH_BYTES])
@pytest.mark.parametrize("chunk", [1, 8, 24, 64])
def test_cached_gradients_equal_the_direct_ones(chunk: int, graph_limit: int) -> None:
    """64 at once and in parts give the same gradients to 1e-5, the logit_scale's included.

    It makes no difference whether none, some or all of the parts' graphs are kept.
    """
    random = torch.Generator().manual_seed(2)
    pixels = torch.randn(SIZE, 3, 32, 32, generator=random, dtype=torch.double)
    ids = torch.randint(5, 18, (SIZE, 6), generator=random)
    is_token = torch.ones_like(ids, dtype=torch.bool)

    direct = model()
    expected = loss_of(direct, direct.image_tower(pixels), direct.text_tower(ids, is_token))
    expected.backward()

    cached = model()
    starts = range(0, SIZE, chunk)
    images = [partial(cached.image_tower, pixels[at : at + chunk]) for at in starts]
    texts = [
        partial(cached.text_tower, ids[at : at + chunk], is_token[at : at + chunk]) for at in starts
    ]
    loss = backward_in_chunks([images, texts], partial(loss_of, cached), graph_limit=graph_limit)

    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
    gradients = dict(cached.named_parameters())
    for name, parameter in direct.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(gradients[name].grad, parameter.grad, rtol=1e-5, atol=1e-12)


def test_frozen_tower_costs_no_backward_pass() -> None:
    """Features without a graph are used and left alone."""
    encoder = model()
    encoder.image_tower.requires_grad_(requires_grad=False)
    pixels = torch.zeros(SIZE, 3, 32, 32, dtype=torch.double)
    ids = torch.full((SIZE, 3), 6)
    backward_in_chunks(
        [
            [partial(encoder.image_tower, pixels)],
            [partial(encoder.text_tower, ids, ids > 0)],
        ],
        partial(loss_of, encoder),
    )
    assert all(parameter.grad is None for parameter in encoder.image_tower.parameters())
    assert any(parameter.grad is not None for parameter in encoder.text_tower.parameters())
