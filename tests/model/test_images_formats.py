"""Which files are read, by their content alone."""

import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from model.containers import gif
from model.errors import EmptyImage, UnsupportedFormat
from model.image_formats import MEDIA_TYPES, SNIFF_BYTES, sniff
from model.images import decode
from tests.model.pictures import cosine, difference, encoded, photo, tiff, with_segments

WRITTEN = {
    "jpeg": ("JPEG", {"quality": 95}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 90}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "avif": ("AVIF", {"speed": 10}),
}


def heic(image: Image.Image) -> bytes:
    """The picture as HEIC; skips the test where the extra is not installed."""
    pillow_heif = pytest.importorskip("pillow_heif")
    stored = BytesIO()
    pillow_heif.from_pillow(image).save(stored)
    return stored.getvalue()


@pytest.mark.parametrize("name", WRITTEN)
def test_each_format_is_read_by_its_content(name: str) -> None:
    """A file of each format comes out as the picture that went in, named by the format."""
    original = photo()
    data = encoded(original, WRITTEN[name][0], **WRITTEN[name][1])
    picture = decode(data)
    assert sniff(data[:SNIFF_BYTES]) == name
    assert (picture.format, picture.media_type) == (name, f"image/{name}")
    assert (picture.width, picture.height, picture.rgb.mode) == (200, 160, "RGB")
    assert cosine(picture.rgb, original) > 0.995


def test_heic_is_read_when_its_extra_is_installed() -> None:
    """A HEIC file comes out as the picture that went in."""
    original = photo()
    picture = decode(heic(original))
    assert (picture.format, picture.media_type) == ("heic", "image/heic")
    assert cosine(picture.rgb, original) > 0.99


def test_heic_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no HEIC decoder is installed the refusal names the format and what to install."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    with pytest.raises(UnsupportedFormat, match=r"beholder\[heic\]") as refusal:
        decode(head + bytes(200))
    assert refusal.value.format == "HEIC"
    assert sniff(head) == "heic"


def test_a_path_is_read_whatever_its_name_says(tmp_path: Path) -> None:
    """The name of a file does not decide its format."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(photo(), "PNG"))
    assert decode(path).format == "png"


def test_a_path_that_cannot_be_read_is_no_image_error(tmp_path: Path) -> None:
    """A missing file is the caller's problem, not a refused image."""
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "nothing")


def test_an_empty_file_is_refused_as_empty(tmp_path: Path) -> None:
    """No bytes at all have their own error, from memory and from a path."""
    path = tmp_path / "empty.png"
    path.touch()
    for source in (b"", path):
        with pytest.raises(EmptyImage):
            decode(source)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'<?xml version="1.0"?><svg xmlns="x"><script>alert(1)</script></svg>', "SVG"),
        (b"\xef\xbb\xbf\n<SVG width='1'/>", "SVG"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
        (b"<note/>", "XML"),
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"8BPS\0\1", "PSD"),
        (b"\0\0\1\0\1\0", "ICO"),
        (b"PK\3\4", "ZIP"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "camera raw"),
        (b"BMW builds cars, this is no bitmap.", None),
        (b"just some text", None),
        (b"\0", None),
        (b"\x89PNG", None),
    ],
)
def test_other_files_are_refused_by_name(head: bytes, name: str | None) -> None:
    """What is no supported image is named where it is known, and never opened."""
    with pytest.raises(UnsupportedFormat) as refusal:
        decode(head.ljust(600, b" "))
    assert refusal.value.format == name


def test_camera_raw_in_a_tiff_is_not_taken_for_its_preview() -> None:
    """A DNG or NEF is refused: its first TIFF page is a small preview, not the photograph."""
    size = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)]
    rest = [(277, 3, 1, 1), (278, 3, 1, 4), (279, 4, 1, 16)]
    assert decode(tiff([*size, *rest], bytes(16))).width == 4
    for marks in ([(50706, 1, 4, 0x0401)], [(254, 4, 1, 1), (330, 4, 1, 8)]):
        with pytest.raises(UnsupportedFormat) as refusal:
            decode(tiff(sorted([*size, *rest, *marks]), bytes(16)))
        assert refusal.value.format == "camera raw"


def test_an_uncommon_kind_of_tiff_is_unsupported_not_damaged() -> None:
    """A whole TIFF of a pixel layout that cannot be read is refused for its format."""
    photometric = b"\x06\x01\x03\0\x01\0\0\0"
    data = encoded(photo(), "TIFF")
    assert data.count(photometric + b"\2") == 1
    with pytest.raises(UnsupportedFormat, match="TIFF"):
        decode(data.replace(photometric + b"\2", photometric + b"\x63"))


def test_a_jpeg_of_twelve_bits_is_unsupported_not_damaged() -> None:
    """Sample depths and codings that are valid JPEG but cannot be read are named."""
    data = encoded(photo(), "JPEG")
    frame = data.index(b"\xff\xc0")
    with pytest.raises(UnsupportedFormat, match="12 bits"):
        decode(data[: frame + 4] + b"\x0c" + data[frame + 5 :])
    with pytest.raises(UnsupportedFormat, match="lossless"):
        decode(data[: frame + 1] + b"\xc3" + data[frame + 2 :])


def test_mpo_named_jpg_is_a_jpeg_and_gives_its_first_frame() -> None:
    """A stereo or motion photo is the JPEG it begins with."""
    first, second = photo("astronaut.png"), photo("coffee.png")
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    picture = decode(data)
    assert picture.format == "jpeg"
    assert cosine(picture.rgb, first) > 0.99
    assert cosine(picture.rgb, second) < 0.5


def test_a_broken_index_of_further_frames_does_not_matter() -> None:
    """Nothing but the first frame of an MPO is read, so its index may be nonsense."""
    data = with_segments(encoded(photo(), "JPEG"), (0xE2, b"MPF\0" + b"\xff" * 40))
    assert decode(data).format == "jpeg"


def test_bytes_after_a_jpeg_do_not_matter() -> None:
    """A video that a phone appends to a photo is left where it is."""
    data = encoded(photo(), "JPEG") + b"\0\0\0\x18ftypmp42" + bytes(1000)
    assert decode(data).width == 200


def test_gif_gives_its_first_frame_at_the_cost_of_one() -> None:
    """Of a GIF whose frames change mode, one frame reaches the decoder however many there are."""
    grey, colour = photo().convert("L"), photo("coffee.png")
    frames = [colour.rotate(10 * turn) for turn in range(19)]
    files = [
        encoded(grey, "GIF", save_all=True, append_images=frames[:count], disposal=2)
        for count in (1, 19)
    ]
    assert len(files[1]) > 5 * len(files[0])
    assert gif.read(files[0]).data == gif.read(files[1]).data
    assert difference(decode(files[1]).rgb, grey.convert("RGB")) < 1


def test_a_gif_without_its_trailer_is_whole() -> None:
    """Old files that end after their last block, as some of Python's own icons, are accepted."""
    data = encoded(photo(), "GIF")
    assert data.endswith(b"\0;")
    assert difference(decode(data[:-1]).rgb, decode(data).rgb) == 0


def test_a_gif_s_frame_is_not_disposed_of() -> None:
    """The decoder is not asked to prepare for a second frame, which takes a picture's memory."""
    data = encoded(photo(), "GIF", disposal=2, duration=100)
    control = data.index(b"!\xf9\4")
    assert data[control + 3] & 0x1C == 0x08
    kept = gif.read(data).data
    assert kept[kept.index(b"!\xf9\4") + 3] & 0x1C == 0


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_of_several_frames_or_pages_is_taken(format: str) -> None:
    """Animations and multi-page files give their first picture."""
    first, second = photo("astronaut.png"), photo("coffee.png")
    picture = decode(encoded(first, format, save_all=True, append_images=[second] * 3))
    assert cosine(picture.rgb, first) > 0.98


def test_media_types_are_named_for_every_format() -> None:
    """Each format has a media type a browser knows."""
    assert set(MEDIA_TYPES) == {*WRITTEN, "heic"}
    assert all(kind.startswith("image/") for kind in MEDIA_TYPES.values())
