"""The contrastive loss against its definition, and with joint positives."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.dual_encoder import INITIAL_LOGIT_SCALE, MAXIMUM_LOGIT_SCALE
from model.training.loss import contrastive_loss, matching_loss, turning_loss
from model.training.sampling import joint_groups


def unit(*shape: int, seed: int = 0) -> Tensor:
    """Random unit rows."""
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_temperature_starts_at_the_papers_value() -> None:
    """logit_scale is ln(1 / 0.07) at the start and ln(100) at most."""
    assert pytest.approx(math.log(1 / 0.07)) == INITIAL_LOGIT_SCALE
    assert pytest.approx(math.log(100)) == MAXIMUM_LOGIT_SCALE


def test_loss_equals_the_papers_figure() -> None:
    """With one text an image it is the symmetric cross-entropy over the N x N logits."""
    images, texts, own = unit(16, 8), unit(16, 8, seed=1), torch.arange(16)
    logits = math.exp(INITIAL_LOGIT_SCALE) * images @ texts.T
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    loss = contrastive_loss(images, texts, own, own, torch.tensor(INITIAL_LOGIT_SCALE).exp())
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=0)


def test_perfect_model_has_no_loss_with_many_captions_an_image() -> None:
    """Captions of one image are not each other's negatives, however many there are."""
    images = torch.eye(4)
    owners = torch.arange(4).repeat_interleave(25)
    loss = contrastive_loss(images, images[owners], torch.arange(4), owners, torch.tensor(100.0))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_perfect_model_has_no_loss_when_captions_repeat() -> None:
    """Two images that own the same text count as right for each other."""
    image_groups, text_groups = joint_groups(3, [0, 1, 2, 2], [7, 7, 8, 9])
    directions = torch.eye(2)[[0, 0, 1]]
    texts = torch.eye(2)[[0, 0, 1, 1]]
    loss = contrastive_loss(directions, texts, image_groups, text_groups, torch.tensor(100.0))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_images_that_share_texts_form_one_group() -> None:
    """Sharing goes through: a with b and b with c puts all three together."""
    image_groups, text_groups = joint_groups(4, [0, 1, 1, 2, 3], [5, 5, 6, 6, 7])
    assert len(set(image_groups[:3].tolist())) == 1
    assert image_groups[3] != image_groups[0]
    assert text_groups.tolist() == image_groups[[0, 1, 1, 2, 3]].tolist()


@pytest.mark.parametrize("dim", [0, 1])
def test_matching_loss_is_zero_only_where_both_agree(dim: int) -> None:
    """It is a divergence along the dimension given."""
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(2))
    assert matching_loss(logits, logits.softmax(dim), dim).item() == pytest.approx(0, abs=1e-6)
    assert matching_loss(logits, logits.flip(dim).softmax(dim), dim).item() > 0.01


def test_turning_loss_ignores_length() -> None:
    """Only the direction of a vector is held."""
    vectors = unit(6, 4)
    assert turning_loss(3 * vectors, vectors).item() == pytest.approx(0, abs=1e-6)
    assert turning_loss(-vectors, vectors).item() == pytest.approx(2, abs=1e-6)
