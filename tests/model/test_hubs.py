"""Images that are near to every text are held back, and nothing else changes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.hubs import HubAwareImages, TextsBesideHubs, spread
from model.zoo import ARCHITECTURES, CompactArchitecture
from tests.model import tiny

WIDTH = 8


@pytest.fixture
def images() -> HubAwareImages:
    """Features, as they are, and a last coordinate."""
    projection = HubAwareImages(WIDTH - 1, 4, WIDTH, bank_texts=20)
    projection.norm, projection.linear = nn.Identity(), nn.Identity()
    return projection


@pytest.fixture
def texts() -> TextsBesideHubs:
    """The same for texts."""
    projection = TextsBesideHubs(WIDTH - 1, 4, WIDTH)
    projection.norm, projection.linear = nn.Identity(), nn.Identity()
    return projection


def around_the_first_axis(count: int) -> Tensor:
    """(count, WIDTH - 1) unit rows."""
    rows = torch.randn(count, WIDTH - 1, generator=torch.Generator().manual_seed(0))
    rows[:, 0] += 4
    return F.normalize(rows, dim=-1)


def test_without_a_bank_scores_are_cosines_times_a_constant(
    images: HubAwareImages, texts: TextsBesideHubs
) -> None:
    """The order of any search is that of the projections alone."""
    rows = around_the_first_axis(12)
    scores = texts(rows) @ images(rows).T
    torch.testing.assert_close(scores, rows @ rows.T * (1 - 0.3**2) ** 0.5)


def test_a_hub_loses_what_the_formula_says(images: HubAwareImages, texts: TextsBesideHubs) -> None:
    """By strength times what it is more of a hub than the mean; all rows stay of length one."""
    bank, shown = around_the_first_axis(20), torch.eye(WIDTH - 1)
    images.hold_back(texts(bank), images(shown), strength=0.05)
    embedded, asked = images(shown), texts(bank)
    torch.testing.assert_close(embedded.norm(dim=-1), torch.ones(len(shown)))
    torch.testing.assert_close(asked.norm(dim=-1), torch.ones(len(bank)))
    hubness = (20 * shown @ bank.T).exp().sum(dim=1).log() / 20
    loss = 0.05 * (hubness - hubness.mean())
    assert loss.argmax() == 0, "the first axis is the hub"
    rest = (1 - 0.3**2) ** 0.5
    shortened = (1 - spread(embedded)[:, -1] ** 2).sqrt()
    torch.testing.assert_close(asked @ embedded.T, rest * (bank @ shown.T * shortened - loss))


def test_no_image_is_told_by_its_last_coordinate_alone(
    images: HubAwareImages, texts: TextsBesideHubs
) -> None:
    """However strong the penalty is, most of the embedding is what the image shows."""
    images.hold_back(texts(around_the_first_axis(20)), images(torch.eye(WIDTH - 1)), strength=100)
    assert spread(images(torch.eye(WIDTH - 1)))[:, -1].abs().max() <= 0.5 + 1e-6


def test_no_coordinate_decides_more_than_others() -> None:
    """An axis becomes a bit of all; lengths and angles stay, and twice gives the first."""
    rows = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
    mirrored = spread(rows)
    torch.testing.assert_close(mirrored @ mirrored.T, rows @ rows.T)
    torch.testing.assert_close(spread(mirrored), rows)
    assert spread(torch.eye(512)).abs().max() <= (2 / 512) ** 0.5 + 1e-6


def test_only_the_projection_learns(images: HubAwareImages) -> None:
    """The bank is no parameter: a fine-tune does not move it, and a checkpoint has it."""
    assert {name for name, _ in images.named_buffers()} == {"bank", "level", "strength"}
    assert "bank" not in dict(images.named_parameters())
    assert "image_projection.bank" in tiny.ARCHITECTURE.build().state_dict()


def test_a_file_older_than_the_bank_is_built_as_it_was() -> None:
    """Its header names neither the bank nor the early attention."""
    header = ARCHITECTURES["compact"].to_dict()
    del header["bank_texts"], header["image"]["early_attention"], header["image"]["early_blocks"]
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in CompactArchitecture.from_dict(header).build().state_dict().items()
    }
    assert shapes["image_projection.linear.weight"] == (512, 1280 + 512)
    assert not any("bank" in name or "early" in name for name in shapes)


@pytest.mark.parametrize("blocks", [0, -1, 24])
def test_early_attention_needs_a_block_to_look_at(blocks: int) -> None:
    """A header that names another is refused as malformed."""
    header = ARCHITECTURES["compact"].to_dict()
    header["image"]["early_blocks"] = blocks
    with pytest.raises(ValueError, match="no block"):
        CompactArchitecture.from_dict(header)
