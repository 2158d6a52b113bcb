"""TIFF directories (TIFF 6.0, section 2; BigTIFF): the tag tables of TIFF files and EXIF blocks."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Bytes of one value by field type; types that are not listed are unknown and skipped.
_TYPE_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
    16: 8, 17: 8, 18: 8,
}  # fmt: skip
_INTEGER_CODES = {
    1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L",
    16: "Q", 17: "q", 18: "Q",
}  # fmt: skip
HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TiffDirectoryError(ValueError):
    """The header or the directory itself is not where the block says it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a directory: where its values lie in the block.

    `record` is the entry as stored, 12 bytes or BigTIFF's 20. `start` is the place of the first
    value, inside the record itself when the values fit there.
    """

    tag: int
    kind: int
    count: int
    start: int
    record: bytes

    @property
    def end(self) -> int:
        """The place after the last value; beyond the block's end when the block is cut short."""
        return self.start + self.count * _TYPE_BYTES[self.kind]


class TiffBlock:
    """A block of bytes that begins with a TIFF header, read without trusting it.

    Raises TiffDirectoryError on construction when there is no such header.
    """

    def __init__(self, data: bytes) -> None:
        if data[:4] not in HEADERS:
            raise TiffDirectoryError("no TIFF header")
        self.data = data
        self.byte_order = "<" if data[:2] == b"II" else ">"
        self.is_big = data[2:4] in {b"+\0", b"\0+"}
        self.first_directory = self._number("Q", 8) if self.is_big else self._number("L", 4)

    def directory(self, offset: int) -> tuple[dict[int, Entry], int]:
        """The fields of the directory at `offset` by tag, and the next directory's place (0: none).

        Of a tag that stands twice the first counts. Values may lie beyond the block's end.
        """
        count_code, record_bytes, word = ("Q", 20, 8) if self.is_big else ("H", 12, 4)
        count = self._number(count_code, offset)
        first = offset + struct.calcsize("<" + count_code)
        # Tags are 16-bit numbers: a longer table repeats itself, and only BigTIFF could hold one.
        if count > 0xFFFF or first + count * record_bytes + word > len(self.data):
            raise TiffDirectoryError("the directory is cut short")
        entries: dict[int, Entry] = {}
        for entry in self._entries(first, count, record_bytes):
            entries.setdefault(entry.tag, entry)
        return entries, self._number("Q" if self.is_big else "L", first + count * record_bytes)

    def _entries(self, first: int, count: int, record_bytes: int) -> Iterator[Entry]:
        head, inline_bytes = (12, 8) if self.is_big else (8, 4)
        for start in range(first, first + count * record_bytes, record_bytes):
            record = self.data[start : start + record_bytes]
            tag, kind, values = struct.unpack(
                self.byte_order + ("HHQ" if self.is_big else "HHL"), record[:head]
            )
            if kind not in _TYPE_BYTES:
                continue
            place = start + head
            if values * _TYPE_BYTES[kind] > inline_bytes:
                place = self._number("Q" if self.is_big else "L", place)
            yield Entry(tag, kind, values, place, record)

    def integers(self, entry: Entry, most: int | None = None) -> tuple[int, ...]:
        """The values of an integer field, at most the first `most`; none of any other field."""
        code = _INTEGER_CODES.get(entry.kind)
        if code is None or entry.end > len(self.data):
            return ()
        count = entry.count if most is None else min(entry.count, most)
        return struct.unpack_from(f"{self.byte_order}{count}{code}", self.data, entry.start)

    def text(self, entry: Entry) -> str:
        """The text of a field up to its first zero byte; empty when it lies outside the block."""
        if entry.end > len(self.data):
            return ""
        stored = self.data[entry.start : entry.end]
        return stored.partition(b"\0")[0].decode("ascii", "replace").strip()

    def _number(self, code: str, offset: int) -> int:
        size = struct.calcsize("<" + code)
        if offset + size > len(self.data):
            raise TiffDirectoryError("an offset points beyond the end")
        number: int = struct.unpack_from(self.byte_order + code, self.data, offset)[0]
        return number
