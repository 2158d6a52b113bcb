"""Decoding for the whole process: a bounded number of pictures in memory at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.blobs import stored_errors
from model import Encoder, ImageLimits, Picture, decode


class PictureReader:
    """Opens pictures under the caps of the settings. Thread-safe.

    A decoded picture may take hundreds of megabytes, and decoding keeps a core busy: more at once
    than there are cores would only hold more memory.
    """

    def __init__(self, limits: ImageLimits, *, at_once: int) -> None:
        self.limits = limits
        self._places = threading.BoundedSemaphore(at_once)

    @contextmanager
    def opened(self, source: bytes | Path, *, shorter_side: int) -> Iterator[Picture]:
        """The picture, at least as large as asked for where it is; let go of it in the block.

        Raises ImageError, StorageError when the file can't be read.
        """
        path = source if isinstance(source, Path) else Path("memory")
        with self._places:
            with stored_errors(path):
                picture = decode(source, self.limits, shorter_side=shorter_side)
            yield picture

    def pixels(self, source: bytes | Path, encoder: Encoder) -> NDArray[np.uint8]:
        """The picture as the encoder's input (S, S, 3). Raises ImageError, StorageError."""
        with self.opened(source, shorter_side=encoder.image_size) as picture:
            return encoder.prepare(picture)
