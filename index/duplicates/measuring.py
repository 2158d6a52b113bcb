"""Measures on the library's own images at which cosines a model finds copies, and no strangers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index.blobs import BlobStore
from index.duplicates.grading import SAME_BITS, SAMPLE_SIZE, SMALLEST_SAMPLE, measured
from index.errors import StorageError
from index.live_index import Generation
from index.pictures import PictureReader
from index.store import images, picture_hashes
from index.store.database import Database
from index.store.near_duplicates import Comparison
from model import ImageError, as_words, cropped_copy, differing_bits, smaller_copy

# Copies of an image are no strangers; an image with more of them is not measured by.
NEIGHBOURS = 8
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
        nearest: list[float] = []
        for number, sha256 in sample:
            try:
                rows = self._copies(generation, sha256)
            except (ImageError, StorageError):
                continue
            copies.append(rows)
            nearest.append(self._nearest_stranger(generation, number, rows[0]))
        if len(copies) < SMALLEST_SAMPLE:
            return None
        originals, small, cropped = np.stack(copies, axis=1)
        return measured(originals, small, cropped, np.array(nearest))

    def _copies(self, generation: Generation, sha256: str) -> NDArray[np.float32]:
        """The embeddings (3, D) of an image, of a small copy and of a crop."""
        queue = generation.queue
        source = self._blobs.open_path(sha256)
        with self._pictures.opened(source, shorter_side=queue.encoder.image_size) as picture:
            pixels = [
                queue.encoder.prepare(one)
                for one in (picture, smaller_copy(picture), cropped_copy(picture))
            ]
        futures = [queue.submit_pixels(one, wait_seconds=PATIENCE_SECONDS) for one in pixels]
        return np.stack([future.result() for future in futures])

    def _nearest_stranger(
        self, generation: Generation, number: int, vector: NDArray[np.float32]
    ) -> float:
        found = generation.vectors.search(vector[None], NEIGHBOURS)
        others = [int(other) for other in found.numbers[0] if other not in {-1, number}]
        with self._database.reading() as session:
            hashes = picture_hashes.get_many(session, [number, *others])
        for other, cosine in zip(found.numbers[0].tolist(), found.scores[0].tolist(), strict=True):
            if other in {-1, number}:
                continue
            if number in hashes and other in hashes:
                words = as_words([hashes[number], hashes[other]])
                if differing_bits(words[0], words[1:])[0] <= SAME_BITS:
                    continue
            return float(cosine)
        return -1.0
