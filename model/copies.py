"""Copies of a picture as people make them, to measure how alike a model finds them."""

import dataclasses
from io import BytesIO

from PIL import Image

from model.images import Picture

# A hand's width at each side: what a crop for a profile or a print takes away.
_CROPPED_SHARE = 0.05
_QUALITY = 75


def smaller_copy(picture: Picture) -> Picture:
    """The picture at a quarter of its width, saved as a JPEG."""
    width, height = picture.rgb.size
    small = picture.rgb.resize((max(1, width // 4), max(1, height // 4)), Image.Resampling.BICUBIC)
    file = BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    with Image.open(file) as saved:
        return _of(picture, saved.convert("RGB"))


def cropped_copy(picture: Picture) -> Picture:
    """The picture without a twentieth at each side."""
    width, height = picture.rgb.size
    left, top = int(width * _CROPPED_SHARE), int(height * _CROPPED_SHARE)
    return _of(picture, picture.rgb.crop((left, top, width - left, height - top)))


def _of(picture: Picture, rgb: Image.Image) -> Picture:
    return dataclasses.replace(picture, rgb=rgb, width=rgb.size[0], height=rgb.size[1])
