"""The same picture in other clothes has the same embedding."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from model.encoder import Encoder, load_encoder
from model.images import Picture, decode
from tests.model.pictures import encoded, exif_block, photo

STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """The encoder that ships with the program."""
    return load_encoder("compact")


def cosines(encoder: Encoder, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """The cosine of each picture's embedding to the first one's."""
    vectors = encoder.embed_images(pictures)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    return vectors @ vectors[0]


def test_sixteen_bit_grey_is_found_like_its_eight_bit_original(encoder: Encoder) -> None:
    """A photo saved with 16 bits a sample keeps its meaning."""
    grey = photo("coffee.png", (600, 400)).convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    pictures = [decode(encoded(image, "PNG")) for image in (grey, wide)]
    assert cosines(encoder, pictures)[1] >= 0.99


def test_eight_orientations_have_one_embedding(encoder: Encoder) -> None:
    """A photo stored eight ways that look alike upright is one and the same picture."""
    upright = photo("coffee.png", (900, 700))
    files = [encoded(upright, "JPEG", quality=92, exif=exif_block(1))]
    files += [
        encoded(upright.transpose(turn), "JPEG", quality=92, exif=exif_block(orientation))
        for orientation, turn in STORED_AS.items()
    ]
    pictures = [decode(data, shorter_side=encoder.image_size) for data in files]
    vectors = encoder.embed_images(pictures)
    assert (vectors @ vectors.T).min() >= 0.98


@pytest.mark.parametrize("is_reduced", [False, True])
def test_cmyk_is_found_like_its_rgb_original(encoder: Encoder, is_reduced: bool) -> None:
    """Inks are turned back into the colours they print, also at a reduced scale."""
    original = photo("coffee.png", (1500, 1200))
    cmyk = encoded(original.convert("CMYK"), "JPEG", quality=92)
    shorter_side = encoder.image_size if is_reduced else None
    picture = decode(cmyk, shorter_side=shorter_side)
    assert (picture.rgb.size != original.size) == is_reduced
    assert cosines(encoder, [decode(encoded(original, "PNG")), picture])[1] >= 0.97


@pytest.mark.parametrize("size", [(257, 257), (4000, 300), (300, 4000), (1999, 1501), (1100, 1083)])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_reduced_decoding_does_not_move_the_embedding(
    encoder: Encoder, format: str, size: tuple[int, int]
) -> None:
    """Reduced or in full, the embedding is the same."""
    options = {"quality": 90} if format == "JPEG" else {"compress_level": 1}
    data = encoded(photo("coffee.png", size), format, **options)
    pictures = [decode(data), decode(data, shorter_side=encoder.image_size)]
    assert cosines(encoder, pictures)[1] >= 0.995


def test_line_drawings_have_one_embedding_reduced_or_not(encoder: Encoder) -> None:
    """Thin lines on paper are the hardest to reduce, and still come out alike."""
    image = Image.new("L", (1603, 1207), 255)
    draw = ImageDraw.Draw(image)
    for place in range(0, 1600, 97):
        draw.line((place, 100, 1600 - place, 1100), fill=0, width=4)
        draw.ellipse((place, 300, place + 90, 300 + place // 3 + 40), outline=0, width=4)
    data = encoded(image, "JPEG", quality=90)
    pictures = [decode(data), decode(data, shorter_side=encoder.image_size)]
    assert pictures[1].rgb.size == (802, 604)
    assert cosines(encoder, pictures)[1] >= 0.98


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_single_pixel_has_a_finite_unit_embedding(encoder: Encoder, mode: str) -> None:
    """The smallest picture is embedded like any other."""
    vectors = encoder.embed_images([decode(encoded(Image.new(mode, (1, 1), 200), "PNG"))])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-3)
