"""Files that are cut, altered or made up: a clear refusal or a whole picture, nothing else."""

import random
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from PIL import Image, ImageFile

from model.errors import DamagedImage, ImageError
from model.image_formats import sniff
from model.images import ImageLimits, Picture, decode
from tests.model.pictures import PNG_SIGNATURE, encoded, exif_block, photo, png, png_chunk

SMALL = (48, 40)


def heic(image: Image.Image) -> bytes:
    """The picture as HEIC, which pillow-heif writes."""
    pillow_heif = pytest.importorskip("pillow_heif")
    stored = BytesIO()
    # Its EXIF is written last, after the pixels.
    pillow_heif.from_pillow(image).save(stored, exif=exif_block(taken="2020:02:03 04:05:06"))
    return stored.getvalue()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(photo(size=SMALL), "JPEG", exif=exif_block(6, "2020:02:03 04:05:06")),
    "progressive": lambda: encoded(photo(size=SMALL), "JPEG", progressive=True),
    "cmyk": lambda: encoded(photo(size=SMALL).convert("CMYK"), "JPEG"),
    "png": lambda: encoded(photo(size=SMALL), "PNG", exif=exif_block(6, "2020:02:03 04:05:06")),
    "palette": lambda: encoded(
        photo(size=SMALL).quantize(32), "PNG", transparency=bytes(range(32))
    ),
    "webp": lambda: encoded(photo(size=SMALL), "WEBP", exif=exif_block(6)),
    "lossless": lambda: encoded(photo(size=SMALL), "WEBP", lossless=True),
    "gif": lambda: encoded(photo(size=SMALL), "GIF"),
    "bmp": lambda: encoded(photo(size=SMALL), "BMP"),
    "tiff": lambda: encoded(photo(size=SMALL), "TIFF"),
    "lzw": lambda: encoded(photo(size=SMALL), "TIFF", compression="tiff_lzw"),
    "big": lambda: encoded(photo(size=SMALL), "TIFF", compression="tiff_lzw", big_tiff=True),
    "lab": lambda: encoded(photo(size=SMALL).convert("LAB"), "TIFF"),
    "avif": lambda: encoded(photo(size=SMALL), "AVIF", speed=10, exif=exif_block(6)),
    "heic": lambda: heic(photo(size=SMALL)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_cut_anywhere_is_refused(name: str) -> None:
    """Whatever the number of bytes that are missing at the end, the file is no picture."""
    data = SAMPLES[name]()
    assert decode(data).width > 0
    # A GIF may lack its last byte, which only says that nothing follows.
    end = len(data) - (name == "gif")
    for kept in {*range(1, end, 29), *range(end - 20, end)}:
        with pytest.raises(ImageError) as refusal:
            decode(data[:kept])
        if sniff(data[:kept]):
            assert isinstance(refusal.value, DamagedImage), kept


def test_one_flipped_byte_among_the_pixels_of_a_png_is_found() -> None:
    """The whole picture is checked before the verdict, not only until its last row is filled."""
    data = SAMPLES["png"]()
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    for place in range(start, start + length, 13):
        altered = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(DamagedImage, match="checksum"):
            decode(altered)


# The depths that each colour type may have, and its samples a pixel.
PNG_KINDS = {0: ((1, 2, 4, 8, 16), 1), 2: ((8, 16), 3), 3: ((1, 2, 4, 8), 1), 4: ((8, 16), 2),
             6: ((8, 16), 4)}  # fmt: skip


@pytest.mark.parametrize(
    ("colour_type", "depth"), [(kind, depth) for kind in PNG_KINDS for depth in PNG_KINDS[kind][0]]
)
def test_a_png_with_fewer_rows_than_it_says_is_refused(colour_type: int, depth: int) -> None:
    """Rows that are missing from the compressed pixels are not taken for black ones."""
    palette = [(b"PLTE", bytes(6))] if colour_type == 3 else []
    for width, height in ((3, 2), (5, 9), (33, 17)):
        row = bytes(-(-width * PNG_KINDS[colour_type][1] * depth // 8))
        whole = png((width, height), depth, colour_type, [row] * height, palette)
        assert decode(whole).width == width
        with pytest.raises(DamagedImage, match="fewer rows"):
            decode(png((width, height), depth, colour_type, [row] * (height - 1), palette))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 9), (33, 17)])
def test_an_interlaced_png_is_held_to_the_bytes_of_its_seven_passes(size: tuple[int, int]) -> None:
    """A black interlaced picture is accepted whole and refused when a byte is missing."""
    width, height = size
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2)]  # fmt: skip
    rows = b"".join(
        bytes(1 + len(range(left, width, across))) * len(range(top, height, down))
        for left, top, across, down in passes
        if left < width
    )
    for pixels, is_whole in ((rows, True), (rows[:-1], False)):
        header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\1"
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
        data = PNG_SIGNATURE + b"".join(png_chunk(name, body) for name, body in chunks)
        if is_whole:
            assert decode(data).height == height
        else:
            with pytest.raises(DamagedImage):
                decode(data)


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0",
        PNG_SIGNATURE,
        b"GIF89a\x10\0\x10\0\x80\0\0",
        b"RIFF\0\1\0\0WEBPVP8 ",
        b"RIFF\0\1\0\0WEBPVP8X",
        b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
        b"II*\0\x08\0\0\0",
        b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10",
        b"\0\0\0\x18ftypavif\0\0\0\0avifmif1",
        b"\0\0\0\x18ftypheic\0\0\0\0heicmif1",
    ],
)
def test_garbage_after_a_header_is_refused(head: bytes) -> None:
    """A file that only begins like an image is refused."""
    for seed in range(30):
        with pytest.raises(ImageError):
            decode(head + random.Random(seed).randbytes(500))


def test_a_jpeg_whose_scan_is_overwritten_is_refused() -> None:
    """Noise in place of the compressed pixels is found although a decoder would paint something."""
    data = encoded(photo(), "JPEG")
    start = data.index(b"\xff\xda") + 14
    noise = random.Random(3).randbytes(len(data) - start - 2)
    with pytest.raises(DamagedImage, match="corrupt"):
        decode(data[:start] + noise + data[-2:])


def mutated(data: bytes, source: random.Random) -> bytes:
    """The file after some random edits of one kind."""
    altered = bytearray(data)
    kind = source.choice(["flip", "head", "insert", "delete", "fill", "repeat"])
    for _ in range(source.choice([1, 1, 2, 5, 20])):
        place = source.randrange(len(altered))
        if kind == "flip":
            altered[place] ^= 1 << source.randrange(8)
        elif kind == "head":
            altered[source.randrange(min(len(altered), 200))] = source.randrange(256)
        elif kind == "insert":
            altered[place:place] = source.randbytes(source.randrange(1, 20))
        elif kind == "delete":
            del altered[place + 1 : place + source.randrange(2, 20)]
        elif kind == "fill":
            altered[place : place + 4] = b"\xff\xff\xff\xff"
        else:
            altered[place:place] = altered[max(0, place - 50) : place]
    return bytes(altered)


@pytest.mark.parametrize("name", SAMPLES)
def test_altered_files_give_a_picture_or_an_image_error(name: str) -> None:
    """Random edits of any format never reach the caller as another exception, nor as a warning."""
    data = SAMPLES[name]()
    limits = ImageLimits(max_pixels=4_000_000)
    for seed in range(150):
        source = random.Random(seed)
        altered = mutated(data, source)
        try:
            picture = decode(altered, limits, shorter_side=source.choice([None, 8, 16]))
        except ImageError:
            continue
        except Exception as error:  # noqa: BLE001 - any other exception is the failure looked for
            pytest.fail(f"seed {seed}: {error!r}")
        assert picture.rgb.mode == "RGB"


def test_every_decoder_s_exception_is_translated_with_its_cause() -> None:
    """What a decoder raised stays visible as the cause of our error."""
    data = SAMPLES["jpeg"]()
    # A Huffman table of impossible lengths.
    place = data.index(b"\xff\xc4") + 5
    with pytest.raises(DamagedImage) as refusal:
        decode(data[:place] + b"\xff" * 16 + data[place + 16 :])
    assert isinstance(refusal.value.__cause__, OSError)


def test_verdicts_do_not_depend_on_what_else_is_decoded() -> None:
    """Twenty threads with good and cut files together: each file is judged as if alone."""
    files = [make() for make in SAMPLES.values()]
    jobs = [(data, True) for data in files] + [
        (data[: len(data) * 2 // 3], False) for data in files
    ]
    jobs = jobs * 20
    random.Random(1).shuffle(jobs)
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)

    def verdict(job: tuple[bytes, bool]) -> bool:
        assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
        try:
            return isinstance(decode(job[0], shorter_side=16), Picture)
        except ImageError:
            return False

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(verdict, jobs)) == [is_whole for _, is_whole in jobs]
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
