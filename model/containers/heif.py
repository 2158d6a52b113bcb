"""HEIF (ISO/IEC 23008-12), the box structure of AVIF and HEIC files: their sizes and EXIF."""

import re
from collections.abc import Iterator

from model.containers.still import Still, most_blocks
from model.errors import DamagedImage

# Phones write a few hundred tiles of seven numbers each.
_MOST_NUMBERS = 200_000

# An item entry of version 2 or 3: size, "infe", version and flags, item id, protection, item type.
_EXIF_ITEM = re.compile(
    rb"infe(?:\x02.{3}(?P<short>.{2})|\x03.{3}(?P<long>.{4}))\0\0(?P<type>Exif)", re.DOTALL
)


def read(data: bytes) -> Still:
    """An AVIF or HEIC file whose EXIF is set apart, so that no decoder stumbles over it.

    Rotation and mirroring are boxes of their own, which the decoder applies or reports. Other
    damage is left for the decoder to find: it walks all boxes in any case.

    Raises DamagedImage when the EXIF lies beyond the file's end.
    """
    boxes = dict(_boxes(data, 0, len(data)))
    if b"meta" not in boxes:
        return Still(data=data, turned_by_decoder=True)
    start, end = boxes[b"meta"]
    inner = dict(_boxes(data, start + 4, end))
    size = _largest_size(data, inner)
    if b"iinf" not in inner or b"iloc" not in inner:
        return Still(data=data, size=size, turned_by_decoder=True)
    items = list(_EXIF_ITEM.finditer(data, *inner[b"iinf"]))
    exif = None
    if items:
        item = int.from_bytes(items[0]["short"] or items[0]["long"], "big")
        exif = _item_data(data, inner, item)
    renamed = bytearray(data)
    for found in items:
        # Readers pass over items of a type they do not know.
        renamed[slice(*found.span("type"))] = b"none"
    return Still(data=bytes(renamed), size=size, exif=exif, turned_by_decoder=True)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """The name of each box between two places and where its contents are."""
    for _ in range(most_blocks(len(data))):
        if start + 8 > end:
            return
        size, head = int.from_bytes(data[start : start + 4], "big"), 8
        name = data[start + 4 : start + 8]
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        yield name, (start + head, start + size)
        start += size


def _largest_size(data: bytes, inner: dict[bytes, tuple[int, int]]) -> tuple[int, int] | None:
    """The size of the largest image, which in a file of tiles is the whole picture, if told."""
    properties = dict(_boxes(data, *inner.get(b"iprp", (0, 0)))).get(b"ipco", (0, 0))
    sizes = [
        (
            int.from_bytes(data[start + 4 : start + 8], "big"),
            int.from_bytes(data[start + 8 : start + 12], "big"),
        )
        for name, (start, _) in _boxes(data, *properties)
        if name == b"ispe"
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _item_data(data: bytes, inner: dict[bytes, tuple[int, int]], item: int) -> bytes | None:
    """The bytes of an item by its location (8.11.3 of ISO/IEC 14496-12), or None."""
    reader = _Fields(data, *inner[b"iloc"])
    version = reader.number(1)
    reader.number(3)
    sizes = reader.number(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> s & 15 for s in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    for _ in range(reader.number(wide)):
        found = reader.number(wide)
        is_in_box = version > 0 and reader.number(2) & 15 == 1
        reader.number(2)
        base = reader.number(base_bytes)
        extents = []
        for _ in range(reader.number(2)):
            reader.number(index_bytes if version > 0 else 0)
            extents.append((base + reader.number(offset_bytes), reader.number(length_bytes)))
        if found == item:
            start, end = inner.get(b"idat", (0, 0)) if is_in_box else (0, len(data))
            if any(start + offset + length > end for offset, length in extents):
                raise DamagedImage("the file is cut short")
            return b"".join(
                data[start + offset : start + offset + length] for offset, length in extents
            )
    return None


class _Fields:
    """Big-endian numbers one after the other.

    Raises DamagedImage beyond the end, and after more numbers than any real table has: numbers may
    be zero bytes wide, and a table of those has no end.
    """

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data = data
        self._position = start
        self._end = end
        self._reads_left = _MOST_NUMBERS

    def number(self, size: int) -> int:
        start = self._position
        self._position += size
        self._reads_left -= 1
        if self._position > self._end or self._reads_left < 0:
            raise DamagedImage("the file's table of parts is corrupt")
        return int.from_bytes(self._data[start : self._position], "big")
