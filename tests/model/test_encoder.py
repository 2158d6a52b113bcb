"""The encoder as the other layers see it, on a tiny model of the shipped architecture."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from model import EmptyText, Encoder, Picture, TextTooLong, load_encoder
from model.checkpoints import build_model, build_tokenizer, read_checkpoint
from model.serving import native_precision
from tests.model import tiny
from tests.model.encoders import in_precision


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint."""
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    tiny.write(path)
    return path


@pytest.fixture(scope="module")
def encoder(path: Path) -> Encoder:
    """Its encoder, in the precision of this machine."""
    return load_encoder(str(path))


def pixels(count: int) -> list[NDArray[np.uint8]]:
    """Prepared pictures of noise, the first ones the same for every count."""
    random = np.random.default_rng(5)
    return [random.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(count)]


def picture(width: int, height: int) -> Picture:
    """A gradient of that size."""
    rgb = Image.linear_gradient("L").convert("RGB").resize((width, height))
    return Picture(
        rgb=rgb, format="png", media_type="image/png", width=width, height=height, taken_at=None
    )


def test_encoder_tells_what_it_is(encoder: Encoder, path: Path) -> None:
    """Identity, sizes and temperature come from the file alone."""
    assert encoder.name == encoder.architecture == "tiny"
    assert len(encoder.fingerprint) == 64
    assert encoder.checkpoint == path
    assert (encoder.dimension, encoder.image_size, encoder.context_length) == (16, 32, 12)
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)


def test_fingerprint_names_the_weights(encoder: Encoder, tmp_path: Path) -> None:
    """Other weights of the same architecture are another version."""
    assert tiny.write(tmp_path / "other.safetensors", seed=1) != encoder.fingerprint


@pytest.mark.parametrize("size", [2, 7, 64])
@pytest.mark.parametrize(("precision", "least"), [(torch.float32, 0.9999), (torch.bfloat16, 0.999)])
def test_picture_alone_equals_picture_in_a_batch(
    path: Path, size: int, precision: torch.dtype, least: float
) -> None:
    """What else is in the call does not move an embedding beyond rounding."""
    encoder = in_precision(path, precision)
    batch = encoder.embed_pixels(pixels(size))
    alone = np.concatenate([encoder.embed_pixels([one]) for one in pixels(size)])
    assert (batch * alone).sum(axis=1).min() >= least


def test_serving_precision_equals_float32(path: Path) -> None:
    """Whatever precision the machine chooses, the cosine to float32 is at least 0.999."""
    chosen = in_precision(path, native_precision()).embed_pixels(pixels(20))
    exact = in_precision(path, torch.float32).embed_pixels(pixels(20))
    assert (chosen * exact).sum(axis=1).min() >= 0.999


def test_serving_equals_the_trained_modules(path: Path) -> None:
    """Folded norms, channels last and bucketed texts give the plain modules' embeddings."""
    encoder = in_precision(path, torch.float32)
    model = build_model(read_checkpoint(path)[0])
    batch = torch.from_numpy(np.stack(pixels(3))).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        images = model.encode_images((batch - 0.5) / 0.5).numpy()
        ids = torch.tensor([[2, 5, 8, 3]])
        text = model.encode_texts(ids, torch.ones_like(ids, dtype=torch.bool)).numpy()
    np.testing.assert_allclose(encoder.embed_pixels(pixels(3)), images, atol=1e-4)
    np.testing.assert_allclose(encoder.embed_texts(["a dog"]).vectors, text, atol=1e-4)


def test_encoder_stays_in_evaluation_mode_beside_training(path: Path) -> None:
    """A training step on the modules it was made from changes no embedding."""
    checkpoint, fingerprint = read_checkpoint(path)
    model = build_model(checkpoint)
    encoder = Encoder(
        model,
        build_tokenizer(checkpoint),
        checkpoint.preprocessing,
        name="tiny",
        fingerprint=fingerprint,
        checkpoint=path,
    )
    before = encoder.embed_pixels(pixels(3))
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.encode_images(torch.randn(4, 3, 32, 32)).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(encoder.embed_pixels(pixels(3)), before)


def test_embeddings_are_unit_length_and_finite(encoder: Encoder) -> None:
    """Rows of both kinds can be compared by inner product."""
    images = encoder.embed_images([picture(1, 1), picture(64, 20), picture(20, 64)])
    texts = encoder.embed_texts(["dog", "a red car on the beach", "日本語", "\ud800 \x07 dog"])
    for vectors in (images, texts.vectors):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_gives_nothing(encoder: Encoder) -> None:
    """No pictures and no texts give empty arrays of the right width."""
    assert encoder.embed_images([]).shape == (0, 16)
    assert encoder.embed_texts([]).vectors.shape == (0, 16)


def test_texts_do_not_depend_on_their_company(encoder: Encoder) -> None:
    """Short and long texts in one call, in any order, are what they are alone."""
    texts = ["dog", "a red car on the beach", "wow!!!", "cat"] * 20
    together = encoder.embed_texts(texts).vectors
    alone = np.concatenate([encoder.embed_texts([text]).vectors for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_cut_texts_are_reported_in_order(encoder: Encoder) -> None:
    """Each text says for itself whether it was over the context length."""
    embedded = encoder.embed_texts(["dog", "dog " * 300, "a car"])
    assert embedded.truncated == (False, True, False)


@pytest.mark.parametrize(("text", "error"), [(" ", EmptyText), ("x" * 10_001, TextTooLong)])
def test_one_bad_text_fails_the_call(encoder: Encoder, text: str, error: type[Exception]) -> None:
    """Nothing is embedded when one of the texts cannot be."""
    with pytest.raises(error):
        encoder.embed_texts(["a dog", text])


def test_one_encoder_serves_many_threads(encoder: Encoder) -> None:
    """Twenty threads at once get what one thread gets."""
    images, texts = pixels(4), ["a dog on the beach", "cat"]
    expected = encoder.embed_pixels(images), encoder.embed_texts(texts).vectors
    with ThreadPoolExecutor(20) as pool:
        jobs = [
            (pool.submit(encoder.embed_pixels, images), pool.submit(encoder.embed_texts, texts))
            for _ in range(20)
        ]
        for image_job, text_job in jobs:
            np.testing.assert_allclose(image_job.result(), expected[0], atol=1e-5)
            np.testing.assert_allclose(text_job.result().vectors, expected[1], atol=1e-5)


def test_the_text_tower_loads_alone(path: Path, encoder: Encoder) -> None:
    """Without its image tower a model embeds texts as ever, and says why it embeds no picture."""
    alone = load_encoder(str(path), texts_only=True)
    texts = ["a dog on the beach", "cat"]
    np.testing.assert_array_equal(
        alone.embed_texts(texts).vectors, encoder.embed_texts(texts).vectors
    )
    assert alone.fingerprint == encoder.fingerprint
    with pytest.raises(RuntimeError, match="only the text tower of tiny"):
        alone.embed_pixels(pixels(1))


def test_shipped_model_loads_by_name() -> None:
    """`compact` is the file in the package, at most 70 MB."""
    encoder = load_encoder("compact")
    assert encoder.name == "compact"
    assert encoder.dimension == 512
    assert encoder.checkpoint.stat().st_size <= 70_000_000


def test_shipped_model_knows_a_few_things() -> None:
    """Sentences that say the same are nearer than sentences that do not."""
    encoder = load_encoder("compact")
    dog, puppy, car = encoder.embed_texts(
        ["a dog runs on the grass", "a puppy is running over a lawn", "a red car in a street"]
    ).vectors
    assert dog @ puppy > dog @ car
