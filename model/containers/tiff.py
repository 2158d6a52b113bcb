"""TIFF 6.0 and BigTIFF: the first directory of a file, rewritten to the fields that paint it."""

import struct

import numpy as np
from numpy.typing import NDArray

from model.containers.still import Still
from model.errors import DamagedImage, UnsupportedFormat
from model.tiff_directory import Entry, TiffBlock, TiffDirectoryError

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS = 254, 256, 257, 258
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANES = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_SUB_DIRECTORIES, _DNG_VERSION = 330, 50706
# Compression, photometric, fill order, fax options, predictor, old-style JPEG, chroma position.
_SINGLE = frozenset(
    {_WIDTH, _HEIGHT, 259, 262, 266, _SAMPLES, _ROWS_PER_STRIP, _PLANES, 292, 293, 317}
    | {_TILE_WIDTH, _TILE_HEIGHT, 512, 513, 514, 515, 531}
)
# Palette, extra samples, sample format, JPEG tables, chroma and range coefficients, ICC profile.
_MANY = frozenset(
    {_BITS, _STRIP_OFFSETS, _STRIP_BYTES, 320, _TILE_OFFSETS, _TILE_BYTES, 338, 339, 347}
    | {519, 520, 521, 529, 530, 532, 34675}
)
# One strip a row and plane of the tallest pictures; the decoder makes an object of each.
_MOST_PARTS = 200_000
# Tiles reach over the edge; a crafted file has a picture one pixel wide on tiles of thousands.
_PADDING_FACTOR, _PADDING_PIXELS = 4, 16_000_000


def read(data: bytes) -> Still:
    """The first page of a TIFF file, without further pages, previews and descriptive fields.

    Orientation is among the fields left out, so that it is applied once, with that of other
    formats, and not by the decoder.

    Raises DamagedImage when fields or pixels lie beyond the file's end or contradict each other,
    UnsupportedFormat for camera raw files, whose first page is only a preview.
    """
    try:
        block = TiffBlock(data)
        fields, following = block.directory(block.first_directory)
    except TiffDirectoryError as error:
        raise DamagedImage(f"the TIFF is cut short or corrupt: {error}") from error
    _refuse_camera_raw(block, fields)
    if following > len(data) or any(field.end > len(data) for field in fields.values()):
        raise DamagedImage("the TIFF is cut short")
    size = (_number(block, fields, _WIDTH, 0), _number(block, fields, _HEIGHT, 0))
    _check_parts(block, fields, size)
    return Still(
        data=_single_page(block, fields),
        size=size,
        exif=data,
        sample_bits=_number(block, fields, _BITS, 1),
    )


def _refuse_camera_raw(block: TiffBlock, fields: dict[int, Entry]) -> None:
    is_preview = _number(block, fields, _SUBFILE_TYPE, 0) & 1 and _SUB_DIRECTORIES in fields
    if is_preview or _DNG_VERSION in fields or block.data[8:10] == b"CR":
        raise UnsupportedFormat("camera raw", "Develop it and send a JPEG, PNG or TIFF.")


def _number(block: TiffBlock, fields: dict[int, Entry], tag: int, default: int) -> int:
    values = block.integers(fields[tag], most=1) if tag in fields else ()
    return values[0] if values else default


def _check_parts(block: TiffBlock, fields: dict[int, Entry], size: tuple[int, int]) -> None:
    """Check that the strips or tiles are as many as the picture needs, and inside the file."""
    width, height = size
    if width <= 0 or height <= 0:
        raise DamagedImage("the TIFF has no pixels")
    if _TILE_OFFSETS in fields:
        offsets, lengths = _TILE_OFFSETS, _TILE_BYTES
        across = _number(block, fields, _TILE_WIDTH, 0)
        down = _number(block, fields, _TILE_HEIGHT, 0)
    else:
        offsets, lengths = _STRIP_OFFSETS, _STRIP_BYTES
        across, down = width, min(_number(block, fields, _ROWS_PER_STRIP, height), height)
    if offsets not in fields or across <= 0 or down <= 0:
        raise DamagedImage("the TIFF does not say where its pixels are")
    parts = -(-width // across) * -(-height // down)
    if parts * across * down > _PADDING_FACTOR * width * height + _PADDING_PIXELS:
        raise DamagedImage("the TIFF's tiles are far larger than its picture")
    if _number(block, fields, _PLANES, 1) == 2:
        parts *= _number(block, fields, _SAMPLES, 1)
    if fields[offsets].count > min(parts, _MOST_PARTS):
        raise DamagedImage("the TIFF has too many strips or tiles")
    starts = _numbers(block, fields[offsets])
    sizes = _numbers(block, fields[lengths]) if lengths in fields else np.zeros_like(starts)
    known = min(len(starts), len(sizes))
    if starts.size == 0 or (starts[:known] + sizes[:known] > len(block.data)).any():
        raise DamagedImage("the TIFF is cut short")


def _numbers(block: TiffBlock, field: Entry) -> NDArray[np.float64]:
    # Floats, because the sum of two 64-bit offsets may overflow; they are exact up to 2**53.
    return np.array(block.integers(field, most=_MOST_PARTS), dtype=np.float64)


def _single_page(block: TiffBlock, fields: dict[int, Entry]) -> bytes:
    """The file with a new directory at its end, which the header points to."""
    order, is_big = block.byte_order, block.is_big
    records = []
    for tag in sorted(fields):
        if tag in _MANY:
            records.append(fields[tag].record)
        elif tag in _SINGLE and (value := _number(block, fields, tag, -1)) >= 0:
            kind = 16 if is_big else 4
            records.append(struct.pack(order + ("HHQQ" if is_big else "HHLL"), tag, kind, 1, value))
    padding = b"\0" * (len(block.data) % 2)
    place = len(block.data) + len(padding)
    head = block.data[:8] if is_big else block.data[:4]
    word = "Q" if is_big else "L"
    return b"".join(
        [
            head,
            struct.pack(order + word, place),
            block.data[16 if is_big else 8 :],
            padding,
            struct.pack(order + ("Q" if is_big else "H"), len(records)),
            *records,
            struct.pack(order + word, 0),
        ]
    )
