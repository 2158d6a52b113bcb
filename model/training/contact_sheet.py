"""A picture of queries with their first hits before and after training, side by side."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from model.errors import ImageError
from model.images import ImageLimits, decode

_SIDE = 96
_GAP = 6
_TEXT_HEIGHT = 22
_MIDDLE = 24
_TEXT_CHARACTERS = 100
_PAPER, _INK, _RIGHT, _LOST = "#ffffff", "#222222", "#2e9e5b", "#dddddd"


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A query and its hits, best first: a photo's path and whether it is a right answer."""

    text: str
    before: Sequence[tuple[Path, bool]]
    after: Sequence[tuple[Path, bool]]


def contact_sheet(rows: Sequence[SheetRow], limits: ImageLimits) -> bytes:
    """The sheet as PNG; a right answer has a green frame, a photo that can't be read is grey."""
    hits = max(len(row.before) for row in rows)
    half = hits * (_SIDE + _GAP)
    height = _TEXT_HEIGHT + len(rows) * (_SIDE + _TEXT_HEIGHT + _GAP)
    sheet = Image.new("RGB", (2 * half + _MIDDLE + _GAP, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    right_half = _GAP + half + _MIDDLE
    draw.text((_GAP, 4), "before", _INK, font)
    draw.text((right_half, 4), "after", _INK, font)
    top = _TEXT_HEIGHT
    for row in rows:
        draw.text((_GAP, top + 3), _shown(row.text), _INK, font)
        for left, found in ((_GAP, row.before), (right_half, row.after)):
            for place, (photo, is_right) in enumerate(found):
                at = (left + place * (_SIDE + _GAP), top + _TEXT_HEIGHT)
                sheet.paste(_tile(photo, limits), at)
                if is_right:
                    box = (at[0] - 2, at[1] - 2, at[0] + _SIDE + 1, at[1] + _SIDE + 1)
                    draw.rectangle(box, outline=_RIGHT, width=3)
        top += _SIDE + _TEXT_HEIGHT + _GAP
    content = io.BytesIO()
    sheet.save(content, "PNG", optimize=True)
    return content.getvalue()


def _tile(photo: Path, limits: ImageLimits) -> Image.Image:
    try:
        picture = decode(photo, limits, shorter_side=_SIDE)
    except (ImageError, OSError):
        return Image.new("RGB", (_SIDE, _SIDE), _LOST)
    return ImageOps.fit(picture.rgb, (_SIDE, _SIDE), Image.Resampling.BICUBIC)


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_CHARACTERS else text[: _TEXT_CHARACTERS - 1] + "…"
