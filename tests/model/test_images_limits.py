"""Caps on bytes and pixels, and files made to cost more than they should."""

import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from model.errors import DamagedImage, ImageError, ImageTooLarge, UnsupportedFormat
from model.images import ImageLimits, decode
from tests.model.pictures import PNG_SIGNATURE, encoded, photo, png, png_chunk, tiff, with_segments


def one_bit_png(side: int) -> bytes:
    """A white 1-bit PNG of side x side pixels, packed row by row."""
    packer = zlib.compressobj()
    row = b"\0" + b"\xff" * (-(-side // 8))
    block = row * 100
    packed = b"".join(packer.compress(block) for _ in range(side // 100)) + packer.flush()
    header = side.to_bytes(4, "big") * 2 + b"\1\0\0\0\0"
    chunks = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(png_chunk(name, body) for name, body in chunks)


def heif_table(locations: bytes) -> bytes:
    """An AVIF with one EXIF item and the given table of locations, after its version and flags."""
    entry = box(b"infe", b"\2\0\0\0\0\1\0\0Exif\0")
    items = box(b"iinf", bytes(4) + b"\0\1" + entry)
    table = box(b"iloc", b"\1\0\0\0" + locations[4:])
    return box(b"ftyp", b"avif\0\0\0\0avifmif1") + box(b"meta", bytes(4) + items + table)


def box(name: bytes, body: bytes) -> bytes:
    """One box of an ISO media file."""
    return (len(body) + 8).to_bytes(4, "big") + name + body


def resized(data: bytes, place: int, size: bytes) -> bytes:
    """The file with other bytes where its header says how large the picture is."""
    return data[:place] + size + data[place + len(size) :]


def bombs() -> dict[str, bytes]:
    """Small files whose headers promise pictures of a gigapixel and more."""
    small = photo()
    jpeg = encoded(small, "JPEG")
    gif = encoded(small, "GIF")
    frame = gif.index(b",\0\0\0\0", 13)
    lossy, extended = encoded(small, "WEBP"), encoded(small.convert("RGBA").rotate(45), "WEBP")
    huge_frame = resized(gif, frame + 5, b"\xff\xff\xff\xff")
    bmp, avif = encoded(small, "BMP"), encoded(small, "AVIF", speed=10)
    return {
        "png": one_bit_png(30_000),
        "jpeg": resized(jpeg, jpeg.index(b"\xff\xc0") + 5, b"\xff\xff\xff\xff"),
        "gif": huge_frame,
        "gif screen": resized(gif, 6, b"\xff\xff\xff\xff"),
        "gif disposal": huge_frame[:frame] + b"!\xf9\4\x08\0\0\0\0" + huge_frame[frame:],
        "webp": resized(lossy, 26, b"\xff\x3f\xff\x3f"),
        "webp canvas": resized(extended, 24, b"\xff\xff\0\xff\xff\0"),
        "bmp": resized(bmp, 18, b"\xff\xff\0\0\xff\xff\0\0"),
        "avif": resized(avif, avif.index(b"ispe") + 8, b"\0\0\x70\0\0\0\x70\0"),
        "tiff": tiff(
            [(256, 4, 1, 99999), (257, 4, 1, 99999), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8),
             (277, 3, 1, 1), (278, 4, 1, 99999), (279, 4, 1, 4)],
            bytes(4),
        ),
        "tiff tile": tiff(
            [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
             (277, 3, 1, 1), (322, 4, 1, 32768), (323, 4, 1, 32768), (324, 4, 1, 8),
             (325, 4, 1, 40)],
            zlib.compress(bytes(40_000))[:40].ljust(40, b"\0"),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("source_kind", ["bytes", "path"])
def test_more_bytes_than_allowed_are_refused(source_kind: str, tmp_path: Path) -> None:
    """The cap on bytes is inclusive, and its refusal names both numbers and the setting."""
    data = encoded(photo(), "PNG")
    source: bytes | Path = data
    if source_kind == "path":
        source = tmp_path / "photo.png"
        source.write_bytes(data)
    assert decode(source, ImageLimits(max_bytes=len(data))).width == 200
    with pytest.raises(ImageTooLarge, match="BEHOLDER_MAX_BYTES") as refusal:
        decode(source, ImageLimits(max_bytes=len(data) - 1))
    assert (refusal.value.size_bytes, refusal.value.limit) == (len(data), len(data) - 1)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_more_pixels_than_allowed_are_refused(format: str) -> None:
    """The cap on pixels is inclusive, and its refusal names both numbers and the setting."""
    data = encoded(photo(), format)
    assert decode(data, ImageLimits(max_pixels=32_000)).width == 200
    with pytest.raises(ImageTooLarge, match="BEHOLDER_MAX_PIXELS") as refusal:
        decode(data, ImageLimits(max_pixels=31_999))
    assert (refusal.value.pixels, refusal.value.limit) == (32_000, 31_999)


def test_a_jpeg_of_120_megapixels_needs_a_raised_limit() -> None:
    """The default refuses it and says which setting to raise; a raised setting accepts it."""
    data = encoded(Image.new("L", (12_000, 10_000), 99), "JPEG")
    with pytest.raises(ImageTooLarge, match="BEHOLDER_MAX_PIXELS"):
        decode(data)
    picture = decode(data, ImageLimits(max_pixels=150_000_000), shorter_side=64)
    assert (picture.width, picture.height) == (12_000, 10_000)
    assert min(picture.rgb.size) >= 128


def test_pillow_s_own_limit_stands_in_nobody_s_way() -> None:
    """Between Pillow's limit and ours a picture is neither refused nor warned about."""
    data = encoded(Image.new("1", (13_000, 7_000), 1), "TIFF", compression="group4")
    assert decode(data, shorter_side=100).width == 13_000


def highest_resident_bytes(*, forget: bool = False) -> int:
    """The most memory this process has held at once, since it was last told to forget (proc(5))."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_bombs_are_refused_without_taking_memory() -> None:
    """Files that promise gigapixels are refused by their header; memory grows by under 50 MB."""
    decode(encoded(photo(), "PNG"))
    for name, data in bombs().items():
        before = highest_resident_bytes(forget=True)
        with pytest.raises(DamagedImage if name == "tiff tile" else ImageTooLarge):
            decode(data)
        assert highest_resident_bytes() - before < 50_000_000, name


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_impossible_sizes_are_refused(format: str) -> None:
    """A width or height of zero is no picture, and no crash."""
    data = encoded(photo(), format)
    width = (200).to_bytes(4, "big" if format in {"JPEG", "PNG"} else "little")
    needle = {"JPEG": width[2:], "WEBP": width[:2], "GIF": width[:2]}.get(format, width)
    start = data.index(b"\xff\xc0") if format == "JPEG" else 0
    place = data.index(needle, start)
    zero = data[:place] + bytes(len(needle)) + data[place + len(needle) :]
    if format == "GIF":
        frame = zero.index(needle)
        zero = zero[:frame] + bytes(2) + zero[frame + 2 :]
    with pytest.raises(ImageError):
        decode(zero)


def test_a_bmp_with_negative_sizes() -> None:
    """A negative height means top-down rows; a negative width means nothing."""
    data = encoded(photo(), "BMP")
    top_down = resized(data, 22, (-160).to_bytes(4, "little", signed=True))
    assert decode(top_down).height == 160
    with pytest.raises(ImageError):
        decode(resized(data, 18, (-200).to_bytes(4, "little", signed=True)))


def test_text_that_expands_does_not_matter() -> None:
    """A PNG is accepted without its notes, however large they would be."""
    notes = PngImagePlugin.PngInfo()
    notes.add_text("note", "A" * 3_000_000, zip=True)
    notes.add_itxt("other", "B" * 3_000_000, zip=True)
    for copy in range(80):
        notes.add_text(f"copy{copy}", "C" * 1_000_000, zip=True)
    assert decode(encoded(photo(), "PNG", pnginfo=notes)).width == 200


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_single_pixel_is_a_picture(format: str, mode: str) -> None:
    """The smallest picture is accepted."""
    for shorter_side in (None, 224):
        picture = decode(encoded(Image.new(mode, (1, 1)), format), shorter_side=shorter_side)
        assert picture.rgb.size == (1, 1)


def test_a_very_long_picture_is_a_picture() -> None:
    """One row of many pixels is decoded as it is."""
    row = b"\x80" * 1_000_000
    assert decode(png((1_000_000, 1), 8, 0, [row]), shorter_side=64).rgb.size == (1_000_000, 1)


@pytest.mark.parametrize(
    "data",
    [
        PNG_SIGNATURE + png_chunk(b"IHDR", bytes(13)) + png_chunk(b"teXt", b"") * 200_000,
        b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe\1x" + b"\1x" * 500_000,
        b"RIFF" + (4_000_000).to_bytes(4, "little") + b"WEBPVP8X\x0a\0\0\0" + bytes(3_999_990),
        b"\xff\xd8" + b"\xff\xfe\0\2" * 200_000 + b"\xff\xd9",
        heif_table(b"\0" * 5 + b"\0\xff\xff" + (b"\0\x09\0\0\xff\xff" * 65_535)),
    ],
    ids=["chunks", "sub-blocks", "riff chunks", "segments", "extents"],
)
def test_files_of_nothing_but_tiny_blocks_are_given_up(data: bytes) -> None:
    """Walking over a file's blocks ends early when there are absurdly many."""
    with pytest.raises(DamagedImage, match=r"too many|table of parts"):
        decode(data)


def test_a_jpeg_of_hundreds_of_scans_is_refused() -> None:
    """Each scan of a progressive JPEG is a pass over the picture, so their number is capped."""
    data = encoded(photo(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(DamagedImage, match="scans"):
        decode(data[:-2] + data[last:-2] * 600 + data[-2:])


def test_a_tiff_listing_the_same_strip_again_and_again_is_refused() -> None:
    """More strips than the picture has rows would each be decoded."""
    strips = 1000
    pixels = bytes(100) + (8).to_bytes(4, "little") * strips + (100).to_bytes(4, "little") * strips
    fields = [(256, 4, 1, 10), (257, 4, 1, 10), (258, 3, 1, 8), (262, 3, 1, 1)]
    fields += [(273, 4, strips, 108), (277, 3, 1, 1), (278, 4, 1, 10)]
    fields += [(279, 4, strips, 108 + 4 * strips)]
    with pytest.raises(DamagedImage, match="too many strips"):
        decode(tiff(fields, pixels))


def test_run_lengths_that_would_hold_the_interpreter_are_refused() -> None:
    """A compressed BMP of many megapixels is unpacked in Python, so it is refused."""
    data = encoded(photo().quantize(), "BMP")
    packed = resized(resized(data, 30, b"\1\0\0\0"), 18, b"\0\x10\0\0\1\x10\0\0")
    with pytest.raises(UnsupportedFormat, match="run lengths"):
        decode(packed)


def test_metadata_of_any_size_is_left_unread() -> None:
    """Comments, XMP and Photoshop blocks in a JPEG are dropped, broken or not."""
    junk = [
        (0xED, b"Photoshop 3.0\x008BIM\4"),
        (0xE0, b"JFIF\0"),
        (0xEE, b"Adobe"),
        (0xE2, b"FPXR"),
    ]
    junk += [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 65_000), (0xFE, b"")] * 5
    picture = decode(with_segments(encoded(photo(), "JPEG"), *junk))
    with Image.open(BytesIO(encoded(photo(), "JPEG"))) as plain:
        assert picture.rgb.tobytes() == plain.tobytes()
