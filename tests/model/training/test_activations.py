"""Views of photos through the frozen lower tower, text banks, and the dev split, on tiny towers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.dual_encoder import DualEncoder
from model.errors import ImageError
from model.preprocessing import to_tensor
from model.tokenizers import Tokenizer, pad
from model.towers.bert import Bert
from model.towers.efficientnet_lite import EfficientNetLite
from model.training.activations import Activations, Seen, finish_views, take_views
from model.training.dev_split import DevSplit
from model.training.pairs import CaptionedPhoto
from model.training.texts import read_texts, text_chunks
from tests.model import tiny

BLOCKS, VIEWS = 2, 3
TOKENIZER = Tokenizer(tiny.tokenizer_settings(), context_length=12)


def nothing(done: int, total: int) -> None:
    """Hears and does nothing."""


def model() -> DualEncoder:
    """The tiny model with the same weights every time."""
    torch.manual_seed(1)
    return tiny.ARCHITECTURE.build().eval()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three photos of noise, 40 pixels wide and 32 high."""
    random = np.random.default_rng(2)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(path)
    return paths


def views_of(photos: list[Path], file: Path, seed: int = 0) -> Activations:
    """Three views of each photo through two blocks of the tiny tower."""
    tower = model().image_tower
    assert isinstance(tower, EfficientNetLite)
    return take_views(
        photos,
        tower,
        tiny.PREPROCESSING,
        blocks=BLOCKS,
        views=VIEWS,
        seed=seed,
        file=file,
        progress=nothing,
    )


@torch.no_grad()
def test_first_view_is_what_the_encoder_will_see(photos: list[Path], tmp_path: Path) -> None:
    """View 0 is the serving preprocessing; the rest of the tower finishes it to its features."""
    activations = views_of(photos, tmp_path / "views.activations")
    tower = model().image_tower
    assert isinstance(tower, EfficientNetLite)
    square = np.asarray(Image.open(photos[1]))[:, 4:36]
    features = tower(to_tensor([square], tiny.PREPROCESSING))
    averaged = features[:, : tower.config.features]
    torch.testing.assert_close(activations.features[1, :1], averaged, atol=1e-5, rtol=1e-5)
    seen = Seen(torch.tensor([1, 1]), torch.tensor([0, 0]), torch.tensor([False, True]))
    lower, last = activations.lower_maps(seen), activations.last_maps(seen)
    assert torch.equal(lower[1], lower[0].flip(-1))
    torch.testing.assert_close(tower.average(last[:1]), averaged, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(tower.finish(lower[:1], BLOCKS), features, atol=1e-2, rtol=1e-2)


def test_other_views_are_cropped_at_random_and_repeat(photos: list[Path], tmp_path: Path) -> None:
    """Views of a photo differ, another seed gives others, the same seed the same."""
    one, two, other = (
        views_of(photos, tmp_path / f"{name}.activations", seed).features
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert torch.equal(one, two)
    assert not torch.equal(one[0, 1], one[0, 2])
    assert not torch.equal(one[0, 1], other[0, 1])


def test_a_resumed_run_takes_the_views_from_the_file(photos: list[Path], tmp_path: Path) -> None:
    """Finished views are read, not computed: the photos need not even be there any more."""
    file = tmp_path / "views.activations"
    first = views_of(photos, file)
    photos[0].unlink()
    again = views_of(photos, file)
    assert torch.equal(again.features, first.features)
    assert np.array_equal(again.lower, first.lower)
    assert np.array_equal(again.last, first.last)
    with pytest.raises(FileNotFoundError):
        views_of(photos, file, seed=1)


def test_a_photo_that_cannot_be_read_stops_the_run(photos: list[Path], tmp_path: Path) -> None:
    """Nothing that looks finished is left behind."""
    photos[2].write_bytes(b"no image")
    with pytest.raises(ImageError):
        views_of(photos, tmp_path / "views.activations")
    assert not (tmp_path / "views.safetensors").exists()


@torch.no_grad()
def test_text_bank_and_chunks_give_the_towers_features() -> None:
    """Each text is kept once, and chunked features come back in the order asked for."""
    tower = model().text_tower
    assert isinstance(tower, Bert)
    texts = ["a dog", "a red car on the beach", "cat", "a dog"]
    bank = read_texts(texts, TOKENIZER, tower, nothing)
    assert len(bank.tokens) == 3
    expected = torch.cat([tower(*pad(TOKENIZER([text]))) for text in texts])
    torch.testing.assert_close(bank.features[bank.rows_of(texts)], expected, atol=1e-5, rtol=0)
    chunks, places = text_chunks(tower, TOKENIZER(texts), 2)
    assert len(chunks) == 2
    together = torch.cat([chunk() for chunk in chunks])[places]
    torch.testing.assert_close(together, expected, atol=1e-5, rtol=0)


def test_dev_split_measures_captions_and_names(photos: list[Path], tmp_path: Path) -> None:
    """Recall is counted over the dev captions and over the classes that a photo surely shows."""
    activations = views_of(photos, tmp_path / "dev.activations")
    logits = torch.full((3, 4), -5.0)
    logits[0, 2] = logits[2, 0] = 5.0
    dev = DevSplit(
        [CaptionedPhoto(path, ("a dog", "a red dog")) for path in photos],
        activations,
        BLOCKS,
        logits,
        ("cat", "beach", "car", "photo"),
        TOKENIZER,
    )
    score = dev.score(model())
    assert score.names is not None
    assert score.captions.recall_at_10 == 1
    assert score.names.recall_at_10 == 1
    # Two classes are shown, so recall at 1 comes in halves; one caption text cannot tell apart.
    assert score.names.recall_at_1 in {0, 0.5, 1}
    assert score.captions.recall_at_1 == pytest.approx(1 / 3)


@torch.no_grad()
def test_views_can_be_finished_by_another_upper_tower(photos: list[Path], tmp_path: Path) -> None:
    """Features follow the tower given; the lower part is the one that was stored."""
    activations = views_of(photos, tmp_path / "views.activations")
    tower = model().image_tower
    assert isinstance(tower, EfficientNetLite)

    def finished(name: str) -> Activations:
        file = tmp_path / name
        return finish_views(activations, tower, blocks=BLOCKS, file=file, progress=nothing)

    same = finished("same.last")
    torch.testing.assert_close(same.features, activations.features, atol=1e-2, rtol=1e-2)
    tower.head.conv.weight.mul_(2)
    other = finished("other.last")
    assert not torch.allclose(other.features, activations.features, rtol=0.1, atol=0)
    assert other.lower is activations.lower
    assert np.allclose(other.last, activations.last, atol=1e-2)
