"""The fast forms of the towers against the plain ones, in each precision."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.dual_encoder import DualEncoder
from model.preprocessing import Preprocessing, byte_scale
from model.serving import (
    fastest_precision,
    onednn,
    precision,
    serving_copy,
    serving_precision,
    set_precision,
)
from model.serving.efficientnet_lite import ServingEfficientNetLite
from model.towers.attention_pooling import AttentionPoolConfig
from model.towers.efficientnet_lite import EfficientNetLite
from model.towers.modified_resnet import AttentionPool, ModifiedResNetConfig
from model.towers.text_transformer import TextTransformerConfig
from model.towers.transformer import Activation
from model.towers.vision_transformer import VisionTransformerConfig
from model.zoo import ClipArchitecture
from tests.model import tiny

SIDE = 64
PREPROCESSING = Preprocessing(
    image_size=SIDE, fit="crop", mean=(0.48, 0.46, 0.41), deviation=(0.27, 0.26, 0.28)
)
END = 99


def clip(kind: str, activation: Activation = "quick_gelu") -> DualEncoder:
    """A CLIP of random weights with either image tower, batch-norm statistics and all."""
    torch.manual_seed(0)
    image: VisionTransformerConfig | ModifiedResNetConfig
    if kind == "resnet":
        image = ModifiedResNetConfig(
            image_size=SIDE, width=16, layers=(2, 1, 1, 1), heads=8, embedding_width=32
        )
    else:
        image = VisionTransformerConfig(
            image_size=SIDE,
            patch_size=16,
            width=64,
            layers=3,
            heads=2,
            inner_width=256,
            embedding_width=32,
            activation=activation,
        )
    text = TextTransformerConfig(
        vocabulary=END + 1,
        positions=12,
        width=64,
        layers=3,
        heads=2,
        inner_width=256,
        embedding_width=32,
        activation=activation,
        end_token=END,
    )
    return shaken(ClipArchitecture(image, text).build())


def compact() -> DualEncoder:
    """The tiny model of the shipped architecture."""
    torch.manual_seed(0)
    image = dataclasses.replace(
        tiny.ARCHITECTURE.image,
        attention=AttentionPoolConfig(heads=2, head_width=4, side=SIDE // 4),
        early_attention=AttentionPoolConfig(heads=2, head_width=4, side=SIDE // 4),
    )
    return shaken(dataclasses.replace(tiny.ARCHITECTURE, image=image).build())


def shaken(model: DualEncoder) -> DualEncoder:
    """Norms that do something, as in a trained model."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 1.0, 3.0)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, AttentionPool):
            # As large as they begin, they would say more than any picture.
            module.positional_embedding.data *= 0.02
    return model.eval()


MODELS: dict[str, Callable[[], DualEncoder]] = {
    "vision transformer": lambda: clip("vit"),
    "vision transformer, GELU": lambda: clip("vit", "gelu"),
    "resnet": lambda: clip("resnet"),
    "compact": compact,
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> DualEncoder:
    """A model of each kind that has a fast form."""
    return MODELS[request.param]()


@pytest.fixture(params=["oneDNN", "plain torch"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernels of this machine, and as on one without them."""
    if request.param == "plain torch":
        monkeypatch.setattr(onednn, "is_there", lambda *_: False)


def photos(count: int = 6) -> Tensor:
    """(N, S, S, 3) 8-bit pixels: noise of another brightness and scale for each."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * 255
    smooth = F.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    return smooth.permute(0, 2, 3, 1).to(torch.uint8).contiguous()


def normalised(pixels: Tensor) -> Tensor:
    """What the plain towers take."""
    mean, deviation = byte_scale(PREPROCESSING)
    return (pixels.permute(0, 3, 1, 2) - mean) / deviation


def texts() -> tuple[Tensor, Tensor]:
    """Token ids of texts of several lengths, with padding after, and where they are no padding."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, 15, (5, 12), generator=generator)
    lengths = torch.tensor([2, 5, 12, 7, 3])
    ids[torch.arange(5), lengths - 1] = END
    is_token = torch.arange(12) < lengths[:, None]
    return ids * is_token, is_token


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Of each row."""
    return F.cosine_similarity(one.float(), other.float(), dim=-1)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("takes_bytes", [False, True])
def test_fast_images_equal_the_plain_towers(model: DualEncoder, takes_bytes: bool) -> None:
    """Folding, packing and the shorter last block change float32 embeddings by rounding only."""
    pixels = photos()
    fast = serving_copy(model, torch.float32, PREPROCESSING if takes_bytes else None)
    with torch.inference_mode():
        expected = model.encode_images(normalised(pixels))
        embedded = fast.encode_images(pixels if takes_bytes else normalised(pixels))
    torch.testing.assert_close(embedded, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.usefixtures("kernels")
def test_fast_texts_equal_the_plain_towers() -> None:
    """Texts of several lengths in one batch are what the plain tower makes of each alone."""
    model = clip("vit")
    fast = serving_copy(model, torch.float32)
    ids, is_token = texts()
    with torch.inference_mode():
        embedded = fast.encode_texts(ids, is_token)
        for row, length in enumerate(is_token.sum(dim=1).tolist()):
            alone = model.encode_texts(
                ids[row : row + 1, :length], is_token[row : row + 1, :length]
            )
            torch.testing.assert_close(embedded[row], alone[0], atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("kernels")
def test_bfloat16_stays_near_float32(model: DualEncoder) -> None:
    """The cosine to the plain float32 embedding is at least 0.999 for pictures and texts."""
    fast = serving_copy(model, torch.bfloat16, PREPROCESSING)
    ids, is_token = texts()
    if model.text_tower.config.vocabulary <= END:
        ids = ids.clamp(max=14)
    with torch.inference_mode():
        images = cosines(fast.encode_images(photos()), model.encode_images(normalised(photos())))
        embedded = cosines(fast.encode_texts(ids, is_token), model.encode_texts(ids, is_token))
    assert images.min() >= 0.999
    assert embedded.min() >= 0.999


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_order_of_what_is_found_stays(model: DualEncoder, dtype: torch.dtype) -> None:
    """Whichever of two pictures is clearly nearer to a third stays so in the fast form."""
    pixels = photos(24)
    fast = serving_copy(model, dtype, PREPROCESSING)
    with torch.inference_mode():
        plain = model.encode_images(normalised(pixels))
        embedded = fast.encode_images(pixels)
    before, after = plain @ plain.T, embedded @ embedded.T
    nearer = before[:, :, None] - before[:, None, :]  # by how much the first is nearer
    noise = 4 * (before - after).abs().max()
    clearly = nearer > noise
    assert clearly.any()
    assert ((after[:, :, None] - after[:, None, :])[clearly] > 0).all()


@pytest.mark.parametrize("side", [31, 32, 33, 34])
def test_uneven_padding_follows_the_picture(side: int) -> None:
    """EfficientNet-Lite pads odd and even sides differently, and so does its fast form."""
    architecture = dataclasses.replace(
        tiny.ARCHITECTURE.image, attention=None, early_attention=None
    )
    tower = EfficientNetLite(architecture).eval()
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))
    with torch.inference_mode():
        fast = ServingEfficientNetLite(tower, torch.float32)(pixels)
        torch.testing.assert_close(fast, tower(pixels), atol=1e-5, rtol=1e-4)


def test_a_text_without_an_end_is_refused() -> None:
    """The fast text tower raises what the plain one raises."""
    ids, is_token = texts()
    with pytest.raises(ValueError, match="no end token"):
        serving_copy(clip("vit"), torch.float32).text_tower(ids.clamp(max=50), is_token)


def test_the_model_goes_on_learning_alone(model: DualEncoder) -> None:
    """What happens to the model after the copy was made does not reach the copy."""
    fast = serving_copy(model, torch.float32, PREPROCESSING)
    with torch.inference_mode():
        before = fast.encode_images(photos())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    with torch.inference_mode():
        torch.testing.assert_close(fast.encode_images(photos()), before, atol=0, rtol=0)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Measuring that takes no time and counts itself; nothing said before the test or after it."""
    measured: list[str] = []

    def measure() -> dict[str, float]:
        measured.append("measured")
        return {"float32": 4.0, "bfloat16": 1.0}

    monkeypatch.setattr(precision, "_said", [])
    monkeypatch.setattr(precision, "measured_seconds", measure)
    return measured


def test_the_faster_precision_is_chosen(
    forgetful: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """bfloat16 is taken where it is clearly faster, else float32."""
    assert fastest_precision() == torch.bfloat16
    for seconds in (3.9, 9.0, float("inf")):
        slow = {"float32": 4.0, "bfloat16": seconds}
        monkeypatch.setattr(precision, "measured_seconds", lambda slow=slow: slow)
        assert fastest_precision() == torch.float32


def test_a_measured_precision_is_remembered(forgetful: list[str], tmp_path: Path) -> None:
    """A machine is measured once, and again with another torch or a damaged memory."""
    remembered = tmp_path / "data" / "precision.json"
    for _ in range(3):
        assert fastest_precision(remembered) == torch.bfloat16
    assert len(forgetful) == 1
    content = json.loads(remembered.read_text())
    remembered.write_text(json.dumps({**content, "chosen": "float32"}))
    assert fastest_precision(remembered) == torch.float32
    for text in (json.dumps({**content, "torch": "0.1"}), "{", "[]", '{"chosen": 1}'):
        remembered.write_text(text)
        before = len(forgetful)
        assert fastest_precision(remembered) == torch.bfloat16
        assert len(forgetful) == before + 1


def test_a_precision_that_is_said_is_not_measured(forgetful: list[str], tmp_path: Path) -> None:
    """What the user says is taken, and "auto" goes back to the fastest."""
    set_precision("float32", remembered=tmp_path / "precision.json")
    assert serving_precision() == torch.float32
    assert not forgetful
    set_precision("auto", remembered=tmp_path / "precision.json")
    assert serving_precision() == torch.bfloat16
    assert (tmp_path / "precision.json").is_file()


def test_both_precisions_are_really_measured() -> None:
    """The measurement itself runs on this machine."""
    seconds = precision.measured_seconds()
    assert set(seconds) == {"float32", "bfloat16"}
    assert all(value > 0 for value in seconds.values())
