"""Reduced decoding and thumbnails: the same picture, only smaller."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from model.images import decode
from model.thumbnails import thumbnail
from tests.model.pictures import cosine, encoded, photo

# Sides that the scale divides and sides that leave a partly filled edge line.
SIZES = [(257, 257), (4000, 300), (300, 4000), (1003, 777), (1024, 768), (641, 1279)]


def centre(image: Image.Image) -> tuple[float, float]:
    """Where the dark of a picture lies on average, in pixels."""
    dark = 255 - np.asarray(image.convert("L"), dtype=np.float64)
    rows, columns = np.indices(dark.shape)
    return float((rows * dark).sum() / dark.sum()), float((columns * dark).sum() / dark.sum())


def spot(size: tuple[int, int]) -> Image.Image:
    """White with one soft dark spot off the centre."""
    width, height = size
    rows, columns = np.ogrid[:height, :width]
    distance = ((columns - width * 0.7) / (width / 8)) ** 2 + (
        (rows - height * 0.4) / (height / 8)
    ) ** 2
    return Image.fromarray((255 - 250 * np.exp(-distance)).astype(np.uint8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_reduced_pictures_keep_twice_the_needed_side(format: str, size: tuple[int, int]) -> None:
    """However far a picture is reduced, twice the needed side is left and the full size told."""
    data = encoded(photo(size=size), format, **({"compress_level": 1} if format == "PNG" else {}))
    for shorter_side in (1, 30, 64, 5000):
        picture = decode(data, shorter_side=shorter_side)
        assert (picture.width, picture.height) == size
        kept = min(picture.rgb.size)
        assert kept >= min(2 * shorter_side, *size)
        # No more is kept than the next whole factor would leave.
        assert kept < 4 * shorter_side or kept == min(size) or format == "JPEG"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_reduced_and_full_decoding_show_the_same_place(format: str, size: tuple[int, int]) -> None:
    """Resized to the model's input, both are the same crop to within a tenth of a pixel."""
    data = encoded(spot(size), format, **({"quality": 95} if format == "JPEG" else {}))
    shorter_side = min(size) // 10
    reduced, full = decode(data, shorter_side=shorter_side).rgb, decode(data).rgb
    assert min(reduced.size) <= min(size) // 2
    target = (2 * shorter_side, shorter_side) if size[0] > size[1] else (shorter_side, shorter_side)
    small = [image.resize(target, Image.Resampling.BICUBIC) for image in (reduced, full)]
    for here, there in zip(centre(small[0]), centre(small[1]), strict=True):
        assert abs(here - there) < 0.1


@pytest.mark.parametrize("size", SIZES)
def test_reduced_and_full_decoding_show_the_same_content(size: tuple[int, int]) -> None:
    """A photo decoded at a reduced scale is, at the model's input size, the photo."""
    data = encoded(photo("coffee.png", size), "JPEG", quality=90)
    reduced, full = decode(data, shorter_side=60).rgb, decode(data).rgb
    small = [image.resize((60, 60), Image.Resampling.BICUBIC) for image in (reduced, full)]
    assert cosine(small[0], small[1]) > 0.995


def test_line_drawings_survive_reduced_decoding() -> None:
    """Thin lines on paper keep their weight; no dark or bright line appears at the edge."""
    image = Image.new("L", (1003, 1001), 255)
    draw = ImageDraw.Draw(image)
    for place in range(0, 1003, 37):
        draw.line((place, 0, 1003 - place, 1001), fill=0, width=3)
    data = encoded(image, "JPEG", quality=90)
    reduced, full = decode(data, shorter_side=120).rgb, decode(data).rgb
    assert reduced.size == (251, 250)
    small = [image.resize((120, 120), Image.Resampling.BICUBIC) for image in (reduced, full)]
    assert cosine(small[0], small[1]) > 0.99
    edges = [np.asarray(image, dtype=float)[-1].mean() for image in small]
    assert abs(edges[0] - edges[1]) < 6


def test_what_pads_a_partly_filled_edge_does_not_show() -> None:
    """A side the scale does not divide ends in padding, of which no dark line is left."""
    image = Image.new("L", (1008, 1008), 255)
    image.paste(0, (1001, 0, 1008, 1008))
    image.paste(0, (0, 1001, 1008, 1008))
    data = encoded(image, "JPEG", quality=95)
    frame = data.index(b"\xff\xc0") + 5
    cut = data[:frame] + (1001).to_bytes(2, "big") * 2 + data[frame + 4 :]
    picture = decode(cut, shorter_side=50)
    assert (picture.width, picture.rgb.size) == (1001, (125, 125))
    pixels = np.asarray(picture.rgb)
    assert pixels[-1, :-1].min() > 250
    assert pixels[:-1, -1].min() > 250


def test_small_pictures_are_not_reduced() -> None:
    """A picture below twice the needed side is decoded in full."""
    for kind in ("JPEG", "PNG", "WEBP"):
        assert decode(encoded(photo(), kind), shorter_side=81).rgb.size == (200, 160)


def test_thumbnails_are_webp_of_the_asked_size_and_never_enlarged() -> None:
    """The longest side is what was asked for, the aspect is kept, small pictures stay small."""
    data = encoded(photo(size=(1200, 800)), "JPEG")
    for size, expected in ((512, (512, 341)), (100, (100, 67)), (5000, (1200, 800)), (1, (1, 1))):
        with Image.open(BytesIO(thumbnail(decode(data), size))) as small:
            assert (small.format, small.size) == ("WEBP", expected)
    with Image.open(BytesIO(thumbnail(decode(encoded(photo(size=(3000, 2)), "PNG")), 64))) as thin:
        assert thin.size == (64, 1)


def test_a_thumbnail_from_a_reduced_picture_is_not_starved() -> None:
    """Decoding for half a thumbnail's size leaves enough for the whole thumbnail."""
    for size in ((1200, 800), (800, 1200), (4000, 300), (1000, 1000)):
        picture = decode(encoded(photo(size=size), "JPEG"), shorter_side=128)
        with Image.open(BytesIO(thumbnail(picture, 256))) as small:
            assert max(small.size) == 256


def test_fine_patterns_are_averaged_not_sampled() -> None:
    """A checkerboard of single pixels becomes grey, in thumbnails and in reduced pictures."""
    board = np.indices((1024, 1024)).sum(0) % 2 * 255
    for kind in ("PNG", "JPEG"):
        data = encoded(Image.fromarray(board.astype(np.uint8)), kind)
        reduced = np.asarray(decode(data, shorter_side=100).rgb, dtype=float)
        with Image.open(BytesIO(thumbnail(decode(data), 300))) as small:
            shrunk = np.asarray(small.convert("L"), dtype=float)
        for pixels in (reduced, shrunk):
            assert abs(pixels.mean() - 127.5) < 3
            assert pixels[8:-8, 8:-8].std() < 12
