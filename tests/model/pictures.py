"""Pictures for the tests of the image modules: real photographs, and files built byte by byte."""

import importlib.util
import struct
import zlib
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def photo(name: str = "astronaut.png", size: tuple[int, int] = (200, 160)) -> Image.Image:
    """A photograph that scikit-image carries in its wheel, in RGB, scaled to `size`."""
    return _photo(name, size).copy()


@cache
def _photo(name: str, size: tuple[int, int]) -> Image.Image:
    found = importlib.util.find_spec("skimage")
    assert found is not None
    assert found.origin is not None
    with Image.open(Path(found.origin).parent / "data" / name) as image:
        scaled = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    # Without the file's profile, which Pillow would write into every copy.
    return Image.fromarray(np.asarray(scaled))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """The picture as a file of a format that Pillow writes."""
    stored = BytesIO()
    image.save(stored, format, **options)
    return stored.getvalue()


def cosine(first: ArrayLike, second: ArrayLike) -> float:
    """The cosine between two pictures, each less its own mean so that brightness alone is not 1."""
    a, b = (np.asarray(x, dtype=np.float64).ravel() for x in (first, second))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def difference(first: Image.Image, second: Image.Image) -> float:
    """The mean absolute difference of two pictures of one size, in 8-bit steps."""
    a, b = (np.asarray(image, dtype=np.float64) for image in (first, second))
    assert a.shape == b.shape
    return float(np.abs(a - b).mean())


def exif_block(
    orientation: int | None = None,
    taken: str | None = None,
    taken_offset: str | None = None,
    changed_offset: str | None = None,
) -> bytes:
    """An EXIF block as Pillow writes it: DateTimeOriginal and its zone, the zone of the change."""
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    fields = exif.get_ifd(0x8769)
    for tag, value in ((0x9003, taken), (0x9011, taken_offset), (0x9010, changed_offset)):
        if value is not None:
            fields[tag] = value
    return exif.tobytes()


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with further segments (marker, contents) right after its start."""
    inserted = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments
    )
    return jpeg[:2] + inserted + jpeg[2:]


def png_chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    size: tuple[int, int],
    depth: int,
    colour_type: int,
    rows: Sequence[bytes],
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG of packed rows, each stored unfiltered; `extra` chunks stand before the pixels."""
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(b"\0" + row) for row in rows) + packer.flush()
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", packed), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(png_chunk(name, body) for name, body in chunks)


def tiff(
    fields: Sequence[tuple[int, int, int, int]], pixels: bytes, *, next_directory: int = 0
) -> bytes:
    """A little-endian TIFF: header, `pixels` from byte 8 on, then one directory.

    Each field is (tag, type, count, value or place); 3 is SHORT, 4 is LONG.
    """
    place = 8 + len(pixels)
    records = b"".join(struct.pack("<HHLL", *field) for field in fields)
    head = struct.pack("<2sHL", b"II", 42, place)
    end = struct.pack("<L", next_directory)
    return head + pixels + struct.pack("<H", len(fields)) + records + end


def matrix_profile(
    primaries: Sequence[tuple[float, float, float]], gamma: float, description: str
) -> bytes:
    """An ICC profile of RGB primaries (XYZ under D50) and one gamma; of grey without primaries."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"desc": _description(description), b"wtpt": _xyz((0.9642, 1.0, 0.8249))}
    if primaries:
        for letter, primary in zip(b"rgb", primaries, strict=True):
            tags[bytes([letter]) + b"XYZ"] = _xyz(primary)
            tags[bytes([letter]) + b"TRC"] = curve
    else:
        tags[b"kTRC"] = curve
    return _profile(b"mntr", b"RGB " if primaries else b"GRAY", b"XYZ ", tags)


def ink_profile(paper_to_ink: Sequence[tuple[int, int, int]]) -> bytes:
    """An ICC profile for CMYK whose 16 corners have the given colours in 8-bit CIELAB (lut8)."""
    assert len(paper_to_ink) == 16
    straight = bytes(range(256))
    table = b"".join(bytes(colour) for colour in paper_to_ink)
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + straight * 4 + table + straight * 3
    tags = {b"desc": _description("ink"), b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"A2B0": lut}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _description(text: str) -> bytes:
    ascii_text = text.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii_text)) + ascii_text + bytes(78)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    place = 128 + 4 + 12 * len(tags)
    table, contents = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        padded = body + bytes(-len(body) % 4)
        table += name + struct.pack(">II", place + len(contents), len(body))
        contents += padded
    size = place + len(contents)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    return head.ljust(128, b"\0") + table + contents
