"""EXIF (CIPA DC-008): which way up a picture is and when it was taken."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from model.tiff_directory import HEADERS, Entry, TiffBlock, TiffDirectoryError

_ORIENTATION, _EXIF_DIRECTORY = 0x0112, 0x8769
_DATE_TIME_ORIGINAL, _OFFSET_TIME_ORIGINAL = 0x9003, 0x9011
# Some writers put the "Exif" header twice, some put a length before it.
_HEADER_WITHIN = 64

_MOMENT = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
# The oldest photograph is of 1826; in the last year a zone's offset could leave the calendar.
_FIRST_YEAR, _LAST_YEAR = 1826, 9998


@dataclass(frozen=True, slots=True)
class Exif:
    """What we read of an EXIF block.

    `orientation` is 1 to 8 as in TIFF 6.0, 1 when it is absent or nonsense. `taken_at` is the
    camera's local time (DateTimeOriginal), aware only when OffsetTimeOriginal says of which zone;
    OffsetTime belongs to the time of the last change and says nothing about this one.
    """

    orientation: int = 1
    taken_at: datetime | None = None


def read_exif(block: bytes | None) -> Exif:
    """The orientation and time of an EXIF block, or of a whole TIFF file; never an error.

    What cannot be read counts as absent, field by field.
    """
    start = _header_position(block or b"")
    if block is None or start is None:
        return Exif()
    try:
        tiff = TiffBlock(block[start:])
        main, _ = tiff.directory(tiff.first_directory)
    except TiffDirectoryError:
        return Exif()
    return Exif(orientation=_orientation(tiff, main), taken_at=_taken_at(tiff, main))


def _header_position(block: bytes) -> int | None:
    found = [block.find(header, 0, _HEADER_WITHIN) for header in HEADERS]
    return min((position for position in found if position >= 0), default=None)


def _orientation(tiff: TiffBlock, main: dict[int, Entry]) -> int:
    entry = main.get(_ORIENTATION)
    values = tiff.integers(entry, most=1) if entry else ()
    return values[0] if values and 1 <= values[0] <= 8 else 1


def _taken_at(tiff: TiffBlock, main: dict[int, Entry]) -> datetime | None:
    pointer = main.get(_EXIF_DIRECTORY)
    offsets = tiff.integers(pointer, most=1) if pointer else ()
    if not offsets:
        return None
    try:
        fields, _ = tiff.directory(offsets[0])
    except TiffDirectoryError:
        return None
    written, zone = fields.get(_DATE_TIME_ORIGINAL), fields.get(_OFFSET_TIME_ORIGINAL)
    moment = _parse_moment(tiff.text(written)) if written else None
    return moment.replace(tzinfo=_parse_zone(tiff.text(zone))) if moment and zone else moment


def _parse_moment(text: str) -> datetime | None:
    found = _MOMENT.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the zone, if any, is a field of its own
    except ValueError:
        return None


def _parse_zone(text: str) -> timezone | None:
    if text == "Z":
        return UTC
    found = _OFFSET.fullmatch(text)
    if found is None:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    # UTC-12:00 to UTC+14:00 are in use; beyond that it is noise.
    if offset > timedelta(hours=14):
        return None
    return timezone(-offset if found[1] == "-" else offset)
