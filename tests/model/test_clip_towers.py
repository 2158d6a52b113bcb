"""CLIP's nine architectures: their sizes, and what each tower promises about its input."""

import pytest
import torch

from model.towers.modified_resnet import ModifiedResNet, ModifiedResNetConfig
from model.towers.text_transformer import TextTransformer, TextTransformerConfig
from model.towers.vision_transformer import resized_positions
from model.zoo import CLIP_ARCHITECTURES, ClipArchitecture

# Counts of OpenAI's released checkpoints: whole model, text tower; width of the embedding.
COUNTS = {
    "RN50": (102_007_137, 63_690_240, 1024),
    "RN101": (119_688_033, 63_428_096, 512),
    "RN50x4": (178_300_601, 91_163_520, 640),
    "RN50x16": (290_979_217, 123_650_304, 768),
    "RN50x64": (623_258_305, 202_877_952, 1024),
    "ViT-B-32": (151_277_313, 63_428_096, 512),
    "ViT-B-16": (149_620_737, 63_428_096, 512),
    "ViT-L-14": (427_616_513, 123_650_304, 768),
    "ViT-L-14-336": (427_944_193, 123_650_304, 768),
}

TEXT = TextTransformerConfig(
    vocabulary=20,
    positions=77,
    width=32,
    layers=2,
    heads=2,
    inner_width=64,
    embedding_width=16,
    activation="quick_gelu",
    end_token=18,
)


@pytest.mark.parametrize("name", CLIP_ARCHITECTURES)
def test_counts_and_shapes_are_those_of_the_paper(name: str) -> None:
    """Every tensor is counted, and both towers give rows of the embedding's width."""
    architecture = CLIP_ARCHITECTURES[name]
    whole, text, width = COUNTS[name]
    with torch.device("meta"):
        model = architecture.build().eval()
        assert sum(parameter.numel() for parameter in model.parameters()) == whole
        assert sum(parameter.numel() for parameter in model.text_tower.parameters()) == text
        size = architecture.image.image_size
        assert model.image_tower(torch.zeros(2, 3, size, size)).shape == (2, width)
    assert architecture.text.embedding_width == width
    assert architecture.context_length == 77
    assert ClipArchitecture.from_dict(architecture.to_dict()) == architecture


def test_tensors_have_the_names_of_openais_checkpoints() -> None:
    """A few of each kind, as they stand in the released files behind the tower's prefix."""
    with torch.device("meta"):
        vit, resnet = (CLIP_ARCHITECTURES[name].build() for name in ("ViT-B-32", "RN50"))
    shapes = {name: tuple(tensor.shape) for name, tensor in vit.state_dict().items()}
    assert shapes["image_tower.conv1.weight"] == (768, 3, 32, 32)
    assert shapes["image_tower.class_embedding"] == (768,)
    assert shapes["image_tower.positional_embedding"] == (50, 768)
    assert shapes["image_tower.transformer.resblocks.11.attn.in_proj_weight"] == (2304, 768)
    assert shapes["image_tower.proj"] == (768, 512)
    assert shapes["text_tower.token_embedding.weight"] == (49_408, 512)
    assert shapes["text_tower.transformer.resblocks.0.mlp.c_fc.bias"] == (2048,)
    assert shapes["text_tower.text_projection"] == (512, 512)
    assert shapes["logit_scale"] == ()
    shapes = {name: tuple(tensor.shape) for name, tensor in resnet.state_dict().items()}
    assert shapes["image_tower.conv3.weight"] == (64, 32, 3, 3)
    assert shapes["image_tower.layer2.0.downsample.0.weight"] == (512, 256, 1, 1)
    assert shapes["image_tower.layer4.2.bn3.running_var"] == (2048,)
    assert shapes["image_tower.attnpool.positional_embedding"] == (50, 2048)
    assert shapes["image_tower.attnpool.c_proj.weight"] == (1024, 2048)


@pytest.fixture
def text_tower() -> TextTransformer:
    """Two layers of random weights."""
    torch.manual_seed(4)
    return TextTransformer(TEXT).eval()


@torch.no_grad()
@pytest.mark.parametrize("length", [3, 8, 77])
def test_text_trimmed_to_any_length_equals_the_padded_text(
    text_tower: TextTransformer, length: int
) -> None:
    """No position sees a later one, so what is computed behind the end token is for nothing."""
    ids = torch.randint(0, 17, (4, length))
    ids[:, -1] = 18
    padded = torch.zeros(4, 77, dtype=torch.long)
    padded[:, :length] = ids
    trimmed = text_tower(ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(
        text_tower(padded, torch.arange(77).expand(4, 77) < length), trimmed, atol=1e-4, rtol=0
    )


@torch.no_grad()
def test_first_end_token_is_pooled_whatever_pads(text_tower: TextTransformer) -> None:
    """Padded with the end token, with zero or with a token above it, a text is the same."""
    text = torch.tensor([[17, 3, 0, 18]])
    alone = text_tower(text, torch.ones_like(text, dtype=torch.bool))
    for padding in (18, 0, 19):
        ids = torch.cat([text, torch.full((1, 5), padding)], dim=1)
        for is_token in (torch.ones_like(ids, dtype=torch.bool), torch.arange(9)[None] < 4):
            torch.testing.assert_close(text_tower(ids, is_token), alone, atol=1e-5, rtol=0)


def test_a_text_without_end_token_is_an_error(text_tower: TextTransformer) -> None:
    """A row that was cut behind our back has no feature; nothing is guessed."""
    ids = torch.tensor([[17, 3, 18], [17, 3, 4]])
    with pytest.raises(ValueError, match="no end token"):
        text_tower(ids, torch.ones_like(ids, dtype=torch.bool))


@torch.no_grad()
def test_resnet_has_no_strided_convolution_but_the_first() -> None:
    """Pools shrink the maps before they can alias, and any later block keeps its side."""
    tower = ModifiedResNet(ModifiedResNetConfig(64, 16, (1, 2, 1, 1), 4, 24)).eval()
    strided = [
        name
        for name, module in tower.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.stride != (1, 1)
    ]
    assert strided == ["conv1"]
    assert tower(torch.zeros(2, 3, 64, 64)).shape == (2, 24)


def test_positions_are_resized_between_square_grids_only() -> None:
    """The class token's stays, a like grid is untouched, a smooth field stays itself."""
    ramp = torch.linspace(0, 1, 7)
    field = (ramp[:, None] + ramp[None, :]).reshape(49, 1)
    positions = torch.cat([torch.full((1, 1), 5.0), field])
    assert resized_positions(positions, 7) is positions
    larger = resized_positions(positions, 14)
    assert larger.shape == (197, 1)
    assert larger[0] == 5
    assert larger[1:].reshape(14, 14)[7, 7] == pytest.approx(field.mean().item(), abs=0.15)
    with pytest.raises(ValueError, match="square"):
        resized_positions(positions[:-1], 14)
