"""Small pictures made on the spot."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def picture_bytes(
    colour: tuple[int, int, int] = (255, 0, 0),
    *,
    size: tuple[int, int] = (40, 30),
    format: str = "PNG",
    seed: int = 0,
) -> bytes:
    """A nearly plain picture; each seed makes other bytes."""
    noise = np.random.default_rng(seed).integers(0, 8, size=(size[1], size[0], 3))
    pixels = np.clip(np.array(colour) - noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def scene(seed: int, tint: tuple[float, float, float] = (1.0, 0.1, 0.1)) -> Image.Image:
    """A picture that looks like no other: soft blobs in random places, of one colour."""
    coarse = np.random.default_rng(seed).integers(20, 255, size=(12, 16, 1)) * np.array(tint)
    pixels = coarse.astype(np.uint8)
    return Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, format: str = "PNG", **options: int) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def copies(picture: Image.Image) -> list[bytes]:
    """The same picture in three sizes and formats."""
    return [
        encoded(picture),
        encoded(picture.resize((160, 120), Image.Resampling.BICUBIC), "WEBP", quality=80),
        encoded(picture.resize((480, 360), Image.Resampling.BICUBIC), "JPEG", quality=60),
    ]
