"""WebP (RFC 9649): a RIFF file of chunks."""

from model.containers.still import Still, most_blocks
from model.errors import DamagedImage


def read(data: bytes) -> Still:
    """A WebP file; of an animated one the decoder paints the first frame only.

    Raises DamagedImage when the file is shorter than it says or its first chunk has no size.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) or end < 30:
        raise DamagedImage("the WebP is cut short")
    return Still(data=data[:end], size=_canvas(data), exif=_exif(data[:end]))


def _canvas(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return (
            int.from_bytes(data[26:28], "little") & 0x3FFF,
            int.from_bytes(data[28:30], "little") & 0x3FFF,
        )
    raise DamagedImage("the WebP does not begin with its header")


def _exif(data: bytes) -> bytes | None:
    position = 12
    for _ in range(most_blocks(len(data))):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"EXIF":
            return data[position + 8 : position + 8 + length]
        position += 8 + length + (length & 1)
        if position >= len(data):
            return None
    raise DamagedImage("the WebP has too many chunks")
