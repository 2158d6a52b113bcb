"""Which way up a picture is, and when it was taken."""

import random
import struct
from datetime import datetime, timedelta, timezone
from io import BytesIO

import pytest
from PIL import Image

from model.exif import read_exif
from model.images import decode
from model.thumbnails import thumbnail
from tests.model.pictures import (
    cosine,
    difference,
    encoded,
    exif_block,
    photo,
    tiff,
    with_segments,
)

# What has to be done to an upright picture so that a viewer following the orientation undoes it.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    """The picture as a camera stores it that notes `orientation`."""
    turn = STORED_AS[orientation]
    return upright if turn is None else upright.transpose(turn)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_comes_out_upright(format: str, orientation: int) -> None:
    """A photo stored eight ways is one picture, with its width and height reported upright."""
    upright = photo(size=(160, 96))
    options: dict[str, object] = {"exif": exif_block(orientation)}
    if format == "WEBP":
        options["lossless"] = True
    picture = decode(encoded(stored(upright, orientation), format, **options))
    assert (picture.width, picture.height) == picture.rgb.size == (160, 96)
    assert cosine(picture.rgb, upright) > 0.99


@pytest.mark.parametrize("orientation", STORED_AS)
def test_orientation_reaches_the_reduced_decode_and_the_thumbnail(orientation: int) -> None:
    """What is turned is turned on every path, and only once."""
    upright = photo(size=(640, 400))
    data = encoded(stored(upright, orientation), "JPEG", exif=exif_block(orientation))
    picture = decode(data, shorter_side=50)
    assert (picture.width, picture.height) == (640, 400)
    assert picture.rgb.size == (160, 100)
    assert cosine(picture.rgb, upright.resize((160, 100))) > 0.99
    with Image.open(BytesIO(thumbnail(picture, 80))) as small:
        assert small.size == (80, 50)
        assert cosine(small, upright.resize((80, 50))) > 0.98


def test_the_orientation_of_an_embedded_preview_is_not_the_picture_s() -> None:
    """Only the main directory turns the picture, whatever the thumbnail's directory says."""
    block = tiff([(0x0112, 3, 1, 6)], b"")
    preview = struct.pack("<H", 1) + struct.pack("<HHLL", 0x0112, 3, 1, 8) + bytes(4)
    block = block[:-4] + struct.pack("<L", len(block)) + preview
    upright = photo(size=(96, 160))
    data = with_segments(
        encoded(stored(upright, 6), "JPEG", quality=95), (0xE1, b"Exif\0\0" + block)
    )
    assert cosine(decode(data).rgb, upright) > 0.99


@pytest.mark.parametrize(
    "header", [b"Exif\0\0Exif\0\0", b"Exif\0\0\0\0\0\6Exif\0\0", b"Exif\0\0\0", b"Exif\0\0"]
)
def test_a_repeated_or_padded_exif_header_is_repaired(header: bytes) -> None:
    """EXIF whose header stands twice still turns the picture."""
    block = exif_block(6).removeprefix(b"Exif\0\0")
    data = with_segments(encoded(photo(), "JPEG"), (0xE1, header + block))
    assert (decode(data).width, decode(data).height) == (160, 200)


def test_the_first_exif_block_of_a_jpeg_counts() -> None:
    """A second block, left behind by an editor, does not turn the picture."""
    data = encoded(photo(), "JPEG")
    both = with_segments(data, (0xE1, exif_block(6)), (0xE1, exif_block(3)))
    assert (decode(both).width, decode(both).height) == (160, 200)


BROKEN = {
    "mark": b"MM",
    "no table": b"MM\0*\0\0\0\x08",
    "far table": b"MM\0*\xff\xff\xff\xff",
    "long table": b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" * 3,
    "far value": b"II*\0\x08\0\0\0\1\0\x12\x01\x02\0" + b"\xff" * 8 + bytes(4),
    "noise": bytes(range(256)) * 8,
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_exif_is_ignored(format: str, name: str) -> None:
    """EXIF that cannot be read is no reason to refuse a picture, in any format."""
    data = encoded(photo(), format, exif=b"Exif\0\0" + BROKEN[name])
    assert BROKEN[name] in data
    picture = decode(data)
    assert picture.taken_at is None
    assert (picture.width, picture.height) == (200, 160)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_exif_of_avif_is_ignored_and_its_rotation_box_is_not(name: str) -> None:
    """AVIF turns by a box of its own, which broken EXIF beside it does not hide."""
    intact = encoded(photo(), "AVIF", speed=10, exif=exif_block(6, "2020:02:03 04:05:06"))
    assert decode(intact).taken_at is not None
    start = intact.index(b"MM\0*")
    end = intact.index(b"2020:02:03") + 20
    broken = BROKEN[name][: end - start].ljust(end - start, b"\xa5")
    picture = decode(intact[:start] + broken + intact[end:])
    assert picture.taken_at is None
    assert (picture.width, picture.height) == (160, 200)


def test_random_exif_never_raises() -> None:
    """Whatever bytes stand in an EXIF block, reading it gives an orientation from 1 to 8."""
    source = random.Random(20)
    intact = bytearray(exif_block(6, "2020:02:03 04:05:06", "+01:00"))
    for _ in range(3000):
        block = bytearray(intact)
        for _ in range(source.randrange(1, 6)):
            block[source.randrange(len(block))] = source.randrange(256)
        assert 1 <= read_exif(bytes(block[: source.randrange(len(block) + 1)])).orientation <= 8


def test_the_time_is_the_local_time_of_the_shot() -> None:
    """The camera's local time is kept, without a zone when the picture does not say which."""
    data = encoded(photo(), "JPEG", exif=exif_block(taken="2021:07:04 00:30:00"))
    assert decode(data).taken_at == datetime(2021, 7, 4, 0, 30)  # noqa: DTZ001


def test_only_the_offset_of_the_original_time_counts() -> None:
    """OffsetTimeOriginal gives the zone; OffsetTime is that of the last change and does not."""
    taken = "2021:07:04 00:30:00"
    block = exif_block(taken=taken, taken_offset="+09:00", changed_offset="-03:30")
    zone = timezone(timedelta(hours=9))
    assert read_exif(block).taken_at == datetime(2021, 7, 4, 0, 30, tzinfo=zone)
    moment = read_exif(exif_block(taken=taken, changed_offset="-03:30")).taken_at
    assert moment is not None
    assert moment.tzinfo is None


@pytest.mark.parametrize(
    ("offset", "hours"), [("Z", 0), ("-03:30", -3.5), ("+14:00", 14), ("+99:00", None), ("?", None)]
)
def test_an_offset_that_makes_no_sense_is_left_out(offset: str, hours: float | None) -> None:
    """A nonsense zone leaves the local time as it is."""
    moment = read_exif(exif_block(taken="2021:07:04 00:30:00", taken_offset=offset)).taken_at
    assert moment is not None
    assert moment.utcoffset() == (None if hours is None else timedelta(hours=hours))


@pytest.mark.parametrize(
    "taken",
    [
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "2021:13:04 00:30:00",
        "2021:02:30 00:30:00",
        "2021:07:04 24:30:00",
        "0001:01:01 00:00:00",
        "9999:12:31 23:59:59",
        "yesterday",
        "",
    ],
)
def test_a_date_that_makes_no_sense_is_none(taken: str) -> None:
    """Nonsense in the date field is no date."""
    assert read_exif(exif_block(taken=taken)).taken_at is None


@pytest.mark.parametrize(
    "taken", ["2021:07:04 05:06:07", "2021-07-04T05:06:07", "2021/07/04 05:06:07.25"]
)
def test_common_spellings_of_a_date_are_read(taken: str) -> None:
    """Other programs write the same date with dashes, slashes or fractions."""
    assert read_exif(exif_block(taken=taken)).taken_at == datetime(2021, 7, 4, 5, 6, 7)  # noqa: DTZ001


def test_a_tiff_carries_its_own_time_and_orientation() -> None:
    """The first directory of a TIFF file is its EXIF, and turns the picture once."""
    fields = [(256, 3, 1, 2), (257, 3, 1, 3), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)]
    fields += [(0x0112, 3, 1, 6), (277, 3, 1, 1), (278, 3, 1, 3), (279, 4, 1, 6)]
    fields += [(0x8769, 4, 1, 14)]
    moment = b"2021:07:04 05:06:07\0"
    inner = struct.pack("<HHHLL", 1, 0x9003, 2, len(moment), 14 + 18) + bytes(4) + moment
    data = tiff(sorted(fields), bytes([0, 50, 100, 150, 200, 250]) + inner)
    picture = decode(data)
    assert (picture.width, picture.height) == picture.rgb.size == (3, 2)
    assert picture.rgb.getpixel((0, 0)) == (200, 200, 200)
    assert picture.taken_at == datetime(2021, 7, 4, 5, 6, 7)  # noqa: DTZ001


def test_a_thumbnail_carries_no_metadata() -> None:
    """Where and when a photo was taken does not travel in its thumbnail."""
    data = encoded(photo(), "JPEG", exif=exif_block(1, "2021:07:04 05:06:07"))
    assert b"2021:07" in data
    small = thumbnail(decode(data), 64)
    assert b"EXIF" not in small
    assert b"2021:07" not in small
    assert difference(decode(small).rgb, photo().resize((64, 51), Image.Resampling.BICUBIC)) < 8
