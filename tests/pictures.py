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
