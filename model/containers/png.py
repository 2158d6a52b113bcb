"""PNG (W3C Recommendation, third edition): a chain of checksummed chunks."""

import zlib

from model.containers.still import Still, most_blocks
from model.errors import DamagedImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_GREY, _TRUECOLOUR = 0, 2
# Interlacing (section 8): each pass begins at a column and row and takes every so many of them.
_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip
_INFLATED_AT_ONCE = 1_000_000
# Large display profiles take 3 MB; more is a decompression bomb.
_MOST_PROFILE_BYTES = 8_000_000


def read(data: bytes) -> Still:
    """The still picture of a PNG, which of an animated one is its default image.

    Text, time, animation and unknown ancillary chunks are dropped unread, so what they would expand
    to does not matter. The checksum of everything that paints is verified, because the decoder
    stops at the last pixel and would not see a flipped byte.

    Raises DamagedImage when a chunk is cut short, fails its checksum or stands in the wrong place.
    """
    kept: list[bytes] = [SIGNATURE]
    header = b""
    exif = profile_chunk = None
    position = len(SIGNATURE)
    for _ in range(most_blocks(len(data))):
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise DamagedImage("the PNG is cut short")
        body = memoryview(data)[position + 8 : end - 4]
        intact = zlib.crc32(body, zlib.crc32(name)) == int.from_bytes(data[end - 4 : end], "big")
        if not header:
            header = _checked_header(name, bytes(body))
        if name in _CRITICAL or name == b"tRNS":
            if not intact:
                raise DamagedImage(f"the PNG's {name.decode()} data fails its checksum")
            kept.append(_narrowed(header, bytes(body)) if name == b"tRNS" else data[position:end])
        elif name[:1].isupper():
            raise DamagedImage(f"the PNG needs an unknown kind of data, {name.decode('latin-1')!r}")
        elif name == b"eXIf" and intact:
            exif = bytes(body)
        elif name == b"iCCP" and intact:
            profile_chunk = bytes(body)
        position = end
        if name == b"IEND":
            return Still(
                data=b"".join(kept),
                size=(int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")),
                exif=exif,
                icc_profile=_inflated_profile(profile_chunk) if profile_chunk else None,
                sample_bits=header[8],
            )
    raise DamagedImage("the PNG has too many chunks")


def _checked_header(name: bytes, body: bytes) -> bytes:
    if name != b"IHDR" or len(body) != 13:
        raise DamagedImage("the PNG does not begin with its header")
    return body


def _narrowed(header: bytes, body: bytes) -> bytes:
    """A tRNS chunk whose transparent colour is in 8-bit samples, as the decoder compares it.

    The file gives it at its own depth, the decoder widens or narrows only the pixels. 16-bit grey
    stays: its pixels keep their depth. Palette transparency is a table of alphas, not a colour.
    """
    depth, colour_type = header[8], header[9]
    samples = [int.from_bytes(body[i : i + 2], "big") for i in range(0, len(body), 2)]
    if colour_type == _GREY and depth in {2, 4}:
        samples = [sample * 255 // (2**depth - 1) for sample in samples]
    elif colour_type == _TRUECOLOUR and depth == 16:
        samples = [sample >> 8 for sample in samples]
    if colour_type in {_GREY, _TRUECOLOUR}:
        body = b"".join((sample & 0xFFFF).to_bytes(2, "big") for sample in samples)
    checksum = zlib.crc32(body, zlib.crc32(b"tRNS"))
    return len(body).to_bytes(4, "big") + b"tRNS" + body + checksum.to_bytes(4, "big")


def _inflated_profile(body: bytes) -> bytes | None:
    """The ICC profile of an iCCP chunk (name, zero byte, method, zlib stream), None if broken."""
    _, _, rest = body.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], _MOST_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflater.eof else None


def check_rows(still: Still) -> None:
    """Check that the compressed pixels of what `read` gave are as many as its header promises.

    The decoder ends with the compressed stream and leaves the rows that are missing black.
    Inflating everything once more costs half a decode, so this is for pictures that end in black.

    Raises DamagedImage.
    """
    data = still.data
    missing = _raw_bytes(data[16:29])
    inflater = zlib.decompressobj()
    position = len(SIGNATURE)
    while missing > 0 and position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IDAT":
            packed = data[position + 8 : end - 4]
            while packed and missing > 0:
                missing -= len(inflater.decompress(packed, _INFLATED_AT_ONCE))
                packed = inflater.unconsumed_tail
        position = end
    if missing > 0:
        raise DamagedImage("the PNG has fewer rows than it says")


def _raw_bytes(header: bytes) -> int:
    """The bytes of all rows, each with its filter byte, before compression."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits = header[8] * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[header[9]]
    passes = _ADAM7 if header[12] else ((0, 0, 1, 1),)
    raw_bytes = 0
    for left, top, across, down in passes:
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            raw_bytes += rows * (1 + -(-columns * bits // 8))
    return raw_bytes
