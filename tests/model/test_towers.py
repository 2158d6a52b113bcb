"""The towers against reference implementations and against their own fast paths."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.towers.bert import Bert, BertConfig
from model.towers.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLiteConfig,
    StageConfig,
    as_channels_last,
    fold_norms,
)

# Made by golden/make_towers.py. With the real weights, on 260 x 260 pixels and two sentences, the
# differences to the reference implementations were 0 (image) and 7e-7 (text).
GOLDEN = load_file(Path(__file__).parent / "golden" / "towers.safetensors")


def state(tower: str) -> dict[str, Tensor]:
    """The weights of one of the two towers."""
    prefix = f"{tower}.state."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in GOLDEN.items()
        if name.startswith(prefix)
    }


@pytest.fixture
def image_tower() -> EfficientNetLite:
    """Three stages with the reference's weights."""
    config = EfficientNetLiteConfig(
        stem_width=32,
        stages=(
            StageConfig(blocks=1, kernel=3, stride=1, expansion=1, width=8),
            StageConfig(blocks=2, kernel=5, stride=2, expansion=6, width=8),
            StageConfig(blocks=1, kernel=3, stride=2, expansion=6, width=16),
        ),
        features=1280,
    )
    tower = EfficientNetLite(config)
    tower.load_state_dict(state("image"))
    return tower.eval()


@pytest.fixture
def text_tower() -> Bert:
    """Two layers with the reference's weights."""
    tower = Bert(
        BertConfig(vocabulary=50, positions=12, width=24, layers=2, heads=3, inner_width=40)
    )
    tower.load_state_dict(state("text"))
    return tower.eval()


@torch.no_grad()
def test_image_tower_equals_the_reference(image_tower: EfficientNetLite) -> None:
    """EfficientNet-Lite gives the reference implementation's features to 1e-4."""
    features = image_tower(GOLDEN["image.pixels"])
    torch.testing.assert_close(features, GOLDEN["image.features"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_text_tower_equals_the_reference(text_tower: Bert) -> None:
    """BERT with mean pooling gives the reference implementation's features to 1e-4."""
    ids = GOLDEN["text.ids"]
    features = text_tower(ids, ids > 0)
    torch.testing.assert_close(features, GOLDEN["text.features"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_text_trimmed_to_its_length_equals_the_padded_text(text_tower: Bert) -> None:
    """Padding is seen by nobody: a short text alone gives what it gives in a longer batch."""
    ids = GOLDEN["text.ids"]
    alone = text_tower(ids[1:, :5], ids[1:, :5] > 0)
    torch.testing.assert_close(alone[0], GOLDEN["text.features"][1], atol=1e-4, rtol=0)


@torch.no_grad()
def test_folded_norms_change_nothing(image_tower: EfficientNetLite) -> None:
    """Serving weights, norms folded and channels last, give the trained weights' features."""
    plain = image_tower(GOLDEN["image.pixels"])
    fold_norms(image_tower)
    as_channels_last(image_tower)
    torch.testing.assert_close(image_tower(GOLDEN["image.pixels"]), plain, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("blocks", [0, 2, 4])
def test_tower_in_two_parts_equals_the_whole(image_tower: EfficientNetLite, blocks: int) -> None:
    """Beginning and finishing after any block is the same as going through at once."""
    pixels = GOLDEN["image.pixels"]
    parts = image_tower.finish(image_tower.begin(pixels, blocks), blocks)
    torch.testing.assert_close(parts, image_tower(pixels))


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(1, 1), (31, 32), (33, 47)])
def test_any_side_is_accepted(image_tower: EfficientNetLite, height: int, width: int) -> None:
    """The padding follows the side, so odd and tiny inputs work."""
    features = image_tower(torch.zeros(1, 3, height, width))
    assert features.shape == (1, 1280)
    assert features.isfinite().all()
