"""JPEG (ITU-T T.81): marker segments up to the first scan, then the scans up to the end marker."""

import re

from model.containers.still import Still, most_blocks
from model.errors import DamagedImage, UnsupportedFormat

# Before the scans, 0xFF that begins a segment or ends the file: fill bytes, stuffed bytes and
# markers without a segment may stand anywhere.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA
_APP0, _APP1, _APP2, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
# Start-of-frame markers: 0xC0-0xCF less DHT, JPG and DAC; libjpeg decodes the first group.
_DECODABLE_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_OTHER_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
_BETWEEN_SCANS = frozenset({0xC4, 0xCC, _START_OF_SCAN, 0xDB, 0xDC, 0xDD, _COMMENT}) | frozenset(
    range(_APP0, _APP15 + 1)
)
# Inside a scan 0xFF is followed by 0x00 (a stuffed byte), a restart marker or another 0xFF (fill).
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# A progressive file of 50 MB can ask for a hundred thousand passes over the picture. Encoders write
# about ten; libjpeg-turbo's own fuzzers stop at 500.
_MOST_SCANS = 500

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"


def read(data: bytes) -> Still:
    """The main picture of a JPEG, or of an MPO's first frame; what follows the end marker is left.

    Application segments are dropped except the two that decide the colour space (JFIF, Adobe).

    Raises DamagedImage when a segment or the end is missing or the scans hold impossible markers,
    UnsupportedFormat for lossless, hierarchical and 12-bit JPEG.
    """
    kept = [data[:2]]
    frames: list[tuple[int, int]] = []
    exif: bytes | None = None
    icc_parts: list[bytes] = []
    position = 2
    for _ in range(most_blocks(len(data))):
        position = _next(_MARKER, data, position)
        marker = data[position + 1]
        if marker == _END_OF_IMAGE:
            raise DamagedImage("the JPEG ends before its picture begins")
        if marker == _START_OF_SCAN:
            break
        end = _segment_end(data, position)
        segment = data[position + 4 : end]
        if marker in _DECODABLE_FRAMES | _OTHER_FRAMES:
            frames.append(_frame_size(marker, segment))
        if marker == _APP1 and segment.startswith(_EXIF) and exif is None:
            exif = segment
        elif marker == _APP2 and segment.startswith(_ICC):
            icc_parts.append(segment[len(_ICC) :])
        elif _paints(marker, segment):
            kept.append(data[position:end])
        position = end
    else:
        raise DamagedImage("the JPEG has too many segments")
    if len(frames) != 1:
        raise DamagedImage("the JPEG has no frame header, or several")
    kept.append(data[position : _end_of_scans(data, position)])
    return Still(
        data=b"".join(kept), size=frames[0], exif=exif, icc_profile=_join_profile(icc_parts)
    )


def _next(marker: re.Pattern[bytes], data: bytes, position: int) -> int:
    found = marker.search(data, position)
    if found is None:
        raise DamagedImage("the JPEG is cut short")
    return found.start()


def _segment_end(data: bytes, position: int) -> int:
    length = int.from_bytes(data[position + 2 : position + 4], "big")
    end = position + 2 + length
    if length < 2 or end > len(data):
        raise DamagedImage("the JPEG is cut short")
    return end


def _frame_size(marker: int, segment: bytes) -> tuple[int, int]:
    if marker in _OTHER_FRAMES:
        raise UnsupportedFormat("lossless or hierarchical JPEG", "Save it as a common JPEG or PNG.")
    if len(segment) < 6:
        raise DamagedImage("the JPEG's frame header is cut short")
    if segment[0] != 8:
        raise UnsupportedFormat(f"JPEG of {segment[0]} bits a sample", "Save it with 8 bits.")
    return int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big")


def _paints(marker: int, segment: bytes) -> bool:
    if marker == _APP0:
        return segment.startswith(b"JFIF\0") and len(segment) >= 14
    if marker == _APP14:
        return segment.startswith(b"Adobe") and len(segment) >= 12
    return not (_APP1 <= marker <= _APP15 or marker == _COMMENT)


def _end_of_scans(data: bytes, position: int) -> int:
    """The place after the end marker; `position` is that of the first start of scan."""
    scans = 0
    for _ in range(most_blocks(len(data))):
        marker = data[position + 1]
        if marker == _END_OF_IMAGE:
            return position + 2
        if marker not in _BETWEEN_SCANS:
            raise DamagedImage("the JPEG's compressed data is corrupt")
        scans += marker == _START_OF_SCAN
        if scans > _MOST_SCANS:
            raise DamagedImage(f"the JPEG has more than {_MOST_SCANS} scans")
        position = _next(_MARKER_IN_SCAN, data, _segment_end(data, position))
    raise DamagedImage("the JPEG has too many segments")


def _join_profile(parts: list[bytes]) -> bytes | None:
    """The ICC profile of numbered parts (ICC.1, annex B.4), or None when they do not add up."""
    if not parts or any(len(part) < 2 or part[1] != len(parts) for part in parts):
        return None
    ordered = sorted(parts, key=lambda part: part[0])
    if [part[0] for part in ordered] != list(range(1, len(parts) + 1)):
        return None
    return b"".join(part[2:] for part in ordered)
