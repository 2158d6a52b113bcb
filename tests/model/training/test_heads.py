"""Heads of towers that have none of their own, and which parameters learn at which rates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from model.dual_encoder import DualEncoder
from model.errors import TrainingError
from model.towers.modified_resnet import ModifiedResNet, ModifiedResNetConfig
from model.towers.text_transformer import TextTransformer, TextTransformerConfig
from model.towers.vision_transformer import VisionTransformer, VisionTransformerConfig
from model.training.depth import blocks_of, train_heads, train_towers
from model.training.heads import fold_heads, put_heads
from tests.model import tiny

WIDTH = 8


def clip(image_tower: nn.Module) -> DualEncoder:
    """A random CLIP of one layer a tower; its projections are the towers' own."""
    text = TextTransformerConfig(
        vocabulary=20,
        positions=6,
        width=16,
        layers=1,
        heads=2,
        inner_width=32,
        embedding_width=WIDTH,
        activation="quick_gelu",
        end_token=19,
    )
    return DualEncoder(image_tower, nn.Identity(), TextTransformer(text), nn.Identity()).eval()


def vision() -> nn.Module:
    """A random vision transformer."""
    torch.manual_seed(3)
    return VisionTransformer(
        VisionTransformerConfig(
            image_size=32,
            patch_size=16,
            width=16,
            layers=2,
            heads=2,
            inner_width=32,
            embedding_width=WIDTH,
            activation="quick_gelu",
        )
    )


def resnet() -> nn.Module:
    """A random CLIP ResNet."""
    torch.manual_seed(3)
    return ModifiedResNet(
        ModifiedResNetConfig(
            image_size=32, width=8, layers=(1, 1, 1, 1), heads=2, embedding_width=WIDTH
        )
    )


def embeddings(model: DualEncoder) -> tuple[Tensor, Tensor]:
    """Of two fixed pictures and two fixed texts."""
    random = torch.Generator().manual_seed(4)
    pixels = torch.randn(2, 3, 32, 32, generator=random)
    ids = torch.tensor([[18, 3, 4, 19], [18, 5, 19, 0]])
    with torch.no_grad():
        return model.encode_images(pixels), model.encode_texts(ids, ids > 0)


@pytest.mark.parametrize("tower", [vision, resnet])
def test_a_head_that_learnt_is_multiplied_into_its_tower(tower: object) -> None:
    """Putting a head changes nothing; taking it away keeps what it learnt, under the old names."""
    model = clip(tower())  # type: ignore[operator]
    names, before = set(model.state_dict()), embeddings(model)
    put_heads(model)
    for old, new in zip(before, embeddings(model), strict=True):
        torch.testing.assert_close(new, old)
    with torch.no_grad():
        for head in (model.image_projection, model.text_projection):
            head.weight.add_(torch.randn(WIDTH, WIDTH))
    learnt = embeddings(model)
    assert not torch.allclose(learnt[0], before[0])
    fold_heads(model)
    assert set(model.state_dict()) == names
    for old, new in zip(learnt, embeddings(model), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)


def test_projections_with_weights_are_the_heads_themselves() -> None:
    """The compact model's stay in their place."""
    model = tiny.ARCHITECTURE.build()
    heads = (model.image_projection, model.text_projection)
    put_heads(model)
    fold_heads(model)
    assert (model.image_projection, model.text_projection) == heads


def test_a_tower_that_nobody_knows_has_no_head() -> None:
    """It is refused in words."""
    model = clip(nn.Linear(3, WIDTH))
    with pytest.raises(TrainingError, match="Linear has no head"):
        put_heads(model)
    with pytest.raises(TrainingError, match="Linear can't be trained by blocks"):
        blocks_of(nn.Linear(3, WIDTH))


@pytest.mark.parametrize("kind", ["vision", "resnet", "compact image", "compact text", "text"])
def test_every_parameter_of_a_tower_is_in_one_block(kind: str) -> None:
    """None is forgotten and none is counted twice."""
    compact = tiny.ARCHITECTURE.build()
    tower = {
        "vision": vision,
        "resnet": resnet,
        "compact image": lambda: compact.image_tower,
        "compact text": lambda: compact.text_tower,
        "text": lambda: clip(nn.Linear(3, WIDTH)).text_tower,
    }[kind]()
    found = [id(parameter) for block in blocks_of(tower) for parameter in block]
    assert sorted(found) == sorted(id(parameter) for parameter in tower.parameters())


def test_earlier_blocks_learn_slower_and_only_the_last_ones_if_asked() -> None:
    """Rates fall towards the input; what is not to learn needs no gradient."""
    model = tiny.ARCHITECTURE.build()
    groups = train_towers(model, "all", head_rate=1.0, tower_rate=0.5)
    assert all(parameter.requires_grad for parameter in model.parameters())
    blocks = len(blocks_of(model.image_tower))
    rates = [group.peak_rate for group in groups[1 : 1 + blocks]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.5
    train_towers(model, "last_blocks", head_rate=1.0, tower_rate=0.5)
    assert not model.text_tower.embeddings.words.weight.requires_grad
    assert model.text_tower.layers[-1].inner.weight.requires_grad
    train_heads(model, 1.0)
    assert not any(parameter.requires_grad for parameter in model.image_tower.parameters())
    assert model.logit_scale.requires_grad
