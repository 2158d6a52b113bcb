"""Measures on the library's own images at which cosines a model finds copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index.blobs import BlobStore
from index.duplicates.grading import SAMPLE_SIZE, SMALLEST_SAMPLE, measured
from index.errors import StorageError
from index.live_index import Generation
from index.pictures import PictureReader
from index.store import images
from index.store.database import Database
from index.store.near_duplicates import Comparison
from model import ImageError, cropped_copy, smaller_copy

# For the model: nobody waits for thresholds.
PATIENCE_SECONDS = 600


class ThresholdMeter:
    """Measures thresholds; blocks for the model, the database and the disk."""

    def __init__(self, database: Database, blobs: BlobStore, pictures: PictureReader) -> None:
        self._database = database
        self._blobs = blobs
        self._pictures = pictures

    def better(self, generation: Generation, known: Comparison) -> Comparison | None:
        """Thresholds measured on at least twice as many images as those known, if there are.

        Raises DatabaseUnavailable.
        """
        with self._database.reading() as session:
            sample = images.sample(session, SAMPLE_SIZE)
        wanted = max(SMALLEST_SAMPLE, 2 * known.measured_on)
        if known.measured_on >= SAMPLE_SIZE or len(sample) < wanted:
            return None
        copies: list[NDArray[np.float32]] = []
        for sha256 in sample:
            try:
                copies.append(self._copies(generation, sha256))
            except (ImageError, StorageError):
                continue
        if len(copies) < SMALLEST_SAMPLE:
            return None
        originals, small, cropped = np.stack(copies, axis=1)
        return measured(originals, small, cropped)

    def _copies(self, generation: Generation, sha256: str) -> NDArray[np.float32]:
        """The embeddings (3, D) of an image, of a small copy and of a crop."""
        queue = generation.queue
        with (
            self._blobs.fetched(sha256) as source,
            self._pictures.opened(source, shorter_side=queue.encoder.image_size) as picture,
        ):
            pixels = [
                queue.encoder.prepare(one)
                for one in (picture, smaller_copy(picture), cropped_copy(picture))
            ]
        futures = [queue.submit_pixels(one, wait_seconds=PATIENCE_SECONDS) for one in pixels]
        return np.stack([future.result() for future in futures])
