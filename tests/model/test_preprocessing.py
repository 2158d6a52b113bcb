"""A picture to the model's square."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from model.preprocessing import (
    CLIP_DEVIATION,
    CLIP_MEAN,
    Fit,
    Preprocessing,
    Resampling,
    to_square,
    to_tensor,
)


def preprocessing(fit: Fit) -> Preprocessing:
    """A small square with a different mean and deviation for each colour."""
    return Preprocessing(image_size=20, fit=fit, mean=(0.5, 0.25, 0.5), deviation=(0.5, 0.5, 0.25))


def thirds(width: int, height: int) -> Image.Image:
    """Red, then green, then blue along the longer side."""
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], dtype=np.uint8)
    image = Image.fromarray(colours if width > height else colours.transpose(1, 0, 2))
    return image.resize((width, height), Image.Resampling.NEAREST)


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_crop_keeps_the_middle_square(size: tuple[int, int]) -> None:
    """Of a picture three times as long as wide, the middle third is seen."""
    square = to_square(thirds(*size), preprocessing("crop"))
    assert square[10, 10].tolist() == [0, 255, 0]
    assert square[4:16, 4:16, 0].max() == 0


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_squash_keeps_everything(size: tuple[int, int]) -> None:
    """All three thirds are there, each a third of the square."""
    square = to_square(thirds(*size), preprocessing("squash"))
    line = square[10] if size[0] > size[1] else square[:, 10]
    assert line[[2, 10, 17]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_pad_keeps_the_aspect(size: tuple[int, int]) -> None:
    """All three thirds are there, between borders of the mean colour."""
    square = to_square(thirds(*size), preprocessing("pad"))
    upright = square if size[0] > size[1] else square.transpose(1, 0, 2)
    assert upright[10, [2, 10, 17]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert upright[1, 10].tolist() == [128, 64, 128]


def as_openai(image: Image.Image, size: int, filter_: Image.Resampling) -> Image.Image:
    """OpenAI's preprocessing, which is torchvision's Resize and then its CenterCrop."""
    width, height = image.size
    if width <= height:
        width, height = size, int(size * height / width)
    else:
        width, height = int(size * width / height), size
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)
    return image.resize((width, height), filter_).crop((left, top, left + size, top + size))


@pytest.mark.parametrize("resampling", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    "size",
    [
        (64, 64),
        (640, 481),
        (481, 640),
        (67, 64),
        (71, 64),
        (500, 65),
        (65, 501),
        (40, 30),
        (30, 90),
    ],
)
def test_shortest_gives_the_pixels_of_openai(size: tuple[int, int], resampling: Resampling) -> None:
    """The shorter side is resized and the middle cut at a whole pixel, as weights were trained."""
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    clip = Preprocessing(64, "shortest", CLIP_MEAN, CLIP_DEVIATION, resampling)
    filter_ = Image.Resampling[resampling.upper()]
    reference = np.asarray(as_openai(image, 64, filter_)).astype(int)
    assert np.abs(to_square(image, clip).astype(int) - reference).max() <= 1


def test_settings_survive_the_header_of_a_checkpoint() -> None:
    """What is written reads back equal, and a file older than the resampling is bicubic."""
    clip = Preprocessing(64, "shortest", CLIP_MEAN, CLIP_DEVIATION, "bilinear")
    assert Preprocessing.from_dict(asdict(clip)) == clip
    older = asdict(preprocessing("crop"))
    del older["resampling"]
    assert Preprocessing.from_dict(older) == preprocessing("crop")


@pytest.mark.parametrize("fit", ["crop", "squash", "pad", "shortest"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (20, 20)])
def test_any_picture_becomes_the_square(fit: Fit, size: tuple[int, int]) -> None:
    """One pixel and the thinnest strips are pictures too."""
    square = to_square(Image.new("RGB", size, (9, 8, 7)), preprocessing(fit))
    assert square.shape == (20, 20, 3)
    assert square.dtype == np.uint8


def test_tensor_is_normalised_by_channel() -> None:
    """Each colour has its own mean and deviation, in units of the full range."""
    batch = to_tensor([np.full((20, 20, 3), 255, dtype=np.uint8)] * 2, preprocessing("crop"))
    assert batch.shape == (2, 3, 20, 20)
    torch.testing.assert_close(batch[1, :, 3, 3], torch.tensor([1.0, 1.5, 2.0]))


def test_nonsense_is_refused() -> None:
    """A checkpoint cannot bring an unknown fit or a size that makes no square."""
    with pytest.raises(ValueError, match="fit"):
        preprocessing("stretch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image_size"):
        Preprocessing(0, "crop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="deviation"):
        Preprocessing(20, "crop", (0.5, 0.5, 0.5), (0.5, 0.0, 0.5))
    with pytest.raises(ValueError, match="resampling"):
        Preprocessing(20, "crop", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "some")  # type: ignore[arg-type]
