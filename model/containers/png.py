"""PNG (W3C Recommendation, third edition): a chain of checksummed chunks."""

import zlib

from model.containers.still import Still, most_blocks
from model.errors import DamagedImage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_GREY, _TRUECOLOUR = 0, 2
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
    exif = icc_profile = None
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
            icc_profile = _inflated_profile(body)
        position = end
        if name == b"IEND":
            return Still(
                data=b"".join(kept),
                size=(int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")),
                exif=exif,
                icc_profile=icc_profile,
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


def _inflated_profile(body: memoryview) -> bytes | None:
    """The ICC profile of an iCCP chunk (name, zero byte, method, zlib stream), None if broken."""
    _, _, rest = bytes(body).partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], _MOST_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflater.eof else None
