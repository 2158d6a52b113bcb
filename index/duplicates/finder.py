"""Compares each new image with those it is nearest to, and remembers which look alike."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from index.blobs import BlobStore
from index.duplicates.fingerprints import Fingerprints
from index.duplicates.grading import NEIGHBOURS, SAME_BITS, SHIPPED, is_close, is_copy
from index.duplicates.measuring import ThresholdMeter
from index.live_index import Generation, LiveIndex
from index.picture_hashes import PictureHashes
from index.pictures import PictureReader
from index.reindexer import Cancelled
from index.store import embeddings, images, model_versions, near_duplicates, picture_hashes
from index.store.database import Database
from index.store.near_duplicates import Comparison, NearDuplicate
from model import is_plain

IMAGES_PER_STEP = 256
NUMBERS_PER_READ = 100_000


class DuplicateFinder:
    """Finds images that look alike, each compared once by the live version.

    Thread-safe; calls block for the database, and `run` for the model.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        live: LiveIndex,
        pictures: PictureReader,
        hashes: PictureHashes,
    ) -> None:
        self._database = database
        self._live = live
        self._hashes = hashes
        self._meter = ThresholdMeter(database, blobs, pictures)
        # One thread compares at a time; it alone may look at the fingerprints.
        self._lock = threading.Lock()
        self._fingerprints = Fingerprints()

    def run(self, report: Callable[[int, int], bool] = lambda *_: False) -> int:
        """Compare every image that is not compared yet; gives how many that were.

        Thresholds are measured first, when there are enough images and none were measured on as
        many. `report` gets how many images are compared and how many there are, and answers
        whether to stop; what is found stays. Raises Cancelled, DatabaseUnavailable.
        """
        generation = self._live.generation
        version_id = generation.version.id
        with self._database.reading() as session:
            known = near_duplicates.comparison(session, version_id) or SHIPPED
        better = self._meter.better(generation, known)
        if better is not None:
            with self._lock, self._database.writing() as session:
                near_duplicates.discard(session, near_duplicates.of_version(version_id))
                near_duplicates.set_comparison(session, version_id, better)
        compared = 0
        while True:
            with self._lock:
                step = self._step(generation, IMAGES_PER_STEP, reads_files=True)
            compared += step
            left, total = self._counts(generation)
            if report(total - left, total):
                raise Cancelled
            if not step:
                with self._database.writing() as session:
                    # What versions found that are not live any more.
                    near_duplicates.discard(session, ~near_duplicates.of_version(version_id))
                return compared

    def catch_up(self, limit: int = IMAGES_PER_STEP) -> int:
        """Compare up to `limit` images, unless another thread does so; gives how many are left.

        No file is read: it ends before an image without a fingerprint, which `run` makes.
        Raises DatabaseUnavailable.
        """
        generation = self._live.generation
        if self._lock.acquire(blocking=False):
            try:
                self._step(generation, limit, reads_files=False)
            finally:
                self._lock.release()
        return self._counts(generation)[0]

    def _counts(self, generation: Generation) -> tuple[int, int]:
        with self._database.reading() as session:
            state = near_duplicates.comparison(session, generation.version.id) or SHIPPED
            left = near_duplicates.count_uncompared(session, state.last_number)
            return left, images.count(session)

    def _step(self, generation: Generation, limit: int, *, reads_files: bool) -> int:
        """Compare the next images with all; gives how many that were."""
        version_id = generation.version.id
        with self._database.reading() as session:
            state = near_duplicates.comparison(session, version_id) or SHIPPED
            numbers = near_duplicates.uncompared(session, state.last_number, limit)
        if reads_files:
            self._hashes.complete(numbers)
        else:
            with self._database.reading() as session:
                without = {number for number, _ in picture_hashes.missing(session, numbers)}
            numbers = list(takewhile(lambda number: number not in without, numbers))
        if not numbers:
            return 0
        # What was committed before they were listed is in the index too.
        self._live.catch_up()
        found = self._found(generation, numbers, state)
        with self._database.writing() as session:
            # It may have been deleted; then this raises NotFound instead of breaking a key.
            model_versions.get(session, version_id)
            held = {number for two in found for number in (two.first_number, two.second_number)}
            present = set(images.hold(session, sorted(held)))
            near_duplicates.put(
                session,
                version_id,
                [two for two in found if {two.first_number, two.second_number} <= present],
            )
            # Another process may have gone further, or have begun anew by thresholds it measured.
            now = near_duplicates.comparison(session, version_id) or state
            if now.measured_on == state.measured_on:
                last_number = max(now.last_number, numbers[-1])
                now = dataclasses.replace(state, last_number=last_number)
            near_duplicates.set_comparison(session, version_id, now)
        return len(numbers)

    def _found(
        self, generation: Generation, numbers: list[int], state: Comparison
    ) -> list[NearDuplicate]:
        """What these images look like: by their fingerprints, and by the model."""
        known = self._fingerprints
        with self._database.reading() as session:
            vectors = embeddings.get_many(session, generation.version.id, numbers)
            for after in range(known.last_number, numbers[-1], NUMBERS_PER_READ):
                up_to = min(after + NUMBERS_PER_READ, numbers[-1])
                known.add(_told(picture_hashes.between(session, after, up_to)), up_to)
            hashes = _told(picture_hashes.get_many(session, numbers))
            bits = known.near(hashes, SAME_BITS)
            others = sorted({number for two in bits for number in two} - set(vectors))
            near = vectors | embeddings.get_many(session, generation.version.id, others)
        copies = [
            NearDuplicate(first, second, "same", differing, cosine)
            for (first, second), differing in bits.items()
            if first in near and second in near
            for cosine in (_cosine(near[first], near[second]),)
            if is_copy(differing, cosine, state)
        ]
        known_twos = {(one.first_number, one.second_number) for one in copies}
        similar = [
            NearDuplicate(*two, "similar", None, cosine)
            for two, cosine in _near(generation, vectors, state).items()
            if two not in known_twos
        ]
        return copies + similar


def _told(hashes: dict[int, bytes]) -> dict[int, bytes]:
    """The fingerprints that say something."""
    return {number: found for number, found in hashes.items() if not is_plain(found)}


def _near(
    generation: Generation, vectors: dict[int, NDArray[np.float32]], state: Comparison
) -> dict[tuple[int, int], float]:
    """The cosine of each image to those that it is close to, by (older, younger)."""
    if not vectors:
        return {}
    numbers = sorted(vectors)
    queries = np.stack([vectors[number] for number in numbers])
    neighbours = generation.vectors.search(queries, NEIGHBOURS + 1)
    found: dict[tuple[int, int], float] = {}
    for row, number in enumerate(numbers):
        others = [
            (other, cosine)
            for other, cosine in zip(
                neighbours.numbers[row].tolist(), neighbours.scores[row].tolist(), strict=True
            )
            if other not in {-1, number}
        ]
        farthest = others[NEIGHBOURS - 1][1] if len(others) >= NEIGHBOURS else None
        for other, cosine in others:
            if is_close(cosine, farthest, state):
                found[min(number, other), max(number, other)] = round(min(cosine, 1.0), 6)
    return found


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return round(min(float(one @ other), 1.0), 6)
