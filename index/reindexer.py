"""Embedding every image again for another version, then making that version live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.blobs import BlobStore
from index.encoders import Encoders
from index.errors import EmbeddingRejected, StorageError
from index.pictures import PictureReader
from index.store import changes, embeddings, images, model_versions
from index.store.database import Database
from index.store.model_versions import ModelVersion
from model import EmbeddingQueue, ImageError

IMAGES_PER_BATCH = 64
DECODING_THREADS = 2
# For the model: nobody waits for a reindex, and it gives way to all who do.
PATIENCE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be embedded again, and why."""

    image_id: str
    filename: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How a reindex ended. `copied` images kept the embedding that the same weights had made."""

    model_version: str
    embedded: int
    copied: int
    failures: tuple[Failure, ...]


class Cancelled(Exception):
    """The reindex was asked to stop; what it has embedded stays for the next run."""


class Reindexer:
    """Runs one reindex. It can be stopped at any image and run again, and goes on where it was."""

    def __init__(
        self, database: Database, blobs: BlobStore, encoders: Encoders, pictures: PictureReader
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._encoders = encoders
        self._pictures = pictures

    def run(
        self, version_id: str, report: Callable[[int, int], bool], *, is_to_go_live: bool = True
    ) -> Reindexed:
        """Embed what the version lacks, then promote it in the same moment as nothing is missing.

        If it is not to go live it becomes ready, to be promoted in an instant later.

        `report` gets how many images are embedded and how many there are, and answers whether to
        stop. Images whose file is gone or damaged are left out and named in the answer; where the
        weights are those of the live version, its embedding of them is kept.

        Raises Cancelled, NotFound, CheckpointError, DatabaseUnavailable.
        """
        with self._database.reading() as session:
            version = model_versions.get(session, version_id)
            if version.state == "live":
                # Killed between the promotion and the end of the job.
                return Reindexed(version_id, embeddings.count(session, version_id), 0, ())
        queue = self._encoders.of(version)
        failures: dict[int, str] = {}
        copied = 0
        embedded = 0
        with ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="reindex") as pool:
            while True:
                batch = self._missing(version_id, failures)
                if not batch:
                    if self._complete(version_id, failures, is_to_go_live=is_to_go_live):
                        break
                    continue
                if report(*self._progress(version_id)):
                    raise Cancelled
                vectors = self._embed(batch, queue, pool, failures)
                rescued = self._rescue(batch, vectors, version)
                embedded += len(vectors)
                copied += len(rescued)
                self._write(version_id, vectors | rescued)
        report(*self._progress(version_id))
        return Reindexed(version_id, embedded, copied, self._named(failures))

    def _missing(self, version_id: str, failures: dict[int, str]) -> list[tuple[int, str]]:
        """The next images to embed, passing by those that failed before."""
        after = -1
        while True:
            with self._database.reading() as session:
                batch = embeddings.missing(
                    session, version_id, after_number=after, limit=IMAGES_PER_BATCH
                )
            fresh = [item for item in batch if item[0] not in failures]
            if fresh or not batch:
                return fresh
            after = batch[-1][0]

    def _named(self, failures: dict[int, str]) -> tuple[Failure, ...]:
        with self._database.reading() as session:
            rows = images.by_number(session, list(failures))
        return tuple(
            Failure(row.id, row.filename, failures[number]) for number, row in rows.items()
        )

    def _progress(self, version_id: str) -> tuple[int, int]:
        with self._database.reading() as session:
            return embeddings.count(session, version_id), images.count(session)

    def _embed(
        self,
        batch: Sequence[tuple[int, str]],
        queue: EmbeddingQueue,
        pool: ThreadPoolExecutor,
        failures: dict[int, str],
    ) -> dict[int, NDArray[np.float32]]:
        def prepared(sha256: str) -> NDArray[np.uint8]:
            return self._pictures.pixels(self._blobs.open_path(sha256), queue.encoder)

        pixels = [(number, pool.submit(prepared, sha256)) for number, sha256 in batch]
        submitted: list[tuple[int, Future[NDArray[np.float32]]]] = []
        vectors: dict[int, NDArray[np.float32]] = {}
        for number, future in pixels:
            try:
                embedding = queue.submit_pixels(future.result(), wait_seconds=PATIENCE_SECONDS)
                submitted.append((number, embedding))
            except ImageError as error:
                failures[number] = str(error)
            except StorageError as error:
                # Where the file lies is the server's business.
                failures[number] = error.reason
        for number, coming in submitted:
            vector = coming.result()
            try:
                embeddings.pack(vector)
            except EmbeddingRejected as error:
                failures[number] = str(error)
            else:
                vectors[number] = vector
        return vectors

    def _rescue(
        self,
        batch: Sequence[tuple[int, str]],
        vectors: dict[int, NDArray[np.float32]],
        version: ModelVersion,
    ) -> dict[int, NDArray[np.float32]]:
        lost = [number for number, _ in batch if number not in vectors]
        with self._database.reading() as session:
            live = model_versions.live(session)
            if not lost or live is None or live.fingerprint != version.fingerprint:
                return {}
            return embeddings.get_many(session, live.id, lost)

    def _write(self, version_id: str, vectors: dict[int, NDArray[np.float32]]) -> None:
        with self._database.writing() as session:
            present = images.hold(session, list(vectors))
            embeddings.put(session, version_id, {number: vectors[number] for number in present})

    def _complete(self, version_id: str, failures: dict[int, str], *, is_to_go_live: bool) -> bool:
        """Make it live or ready unless an image came that it lacks; gives whether it is."""
        with self._database.writing() as session:
            changes.take_lock(session)
            missing = embeddings.missing(session, version_id, limit=len(failures) + 1)
            if any(number not in failures for number, _ in missing):
                return False
            if is_to_go_live:
                model_versions.promote(session, version_id)
            else:
                model_versions.set_state(session, version_id, "ready")
            return True
