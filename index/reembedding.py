"""One worker's part of a reindex: takes a range of images, embeds them, writes the embeddings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from index.blobs import BlobStore
from index.errors import EmbeddingRejected, StorageError
from index.pictures import PictureReader
from index.store import embeddings, images, model_versions, reindex_claims
from index.store.database import Database
from index.store.model_versions import ModelVersion
from model import EmbeddingQueue, ImageError

IMAGES_PER_CLAIM = 64
DECODING_THREADS = 2
# For the model: nobody waits for a reindex, and it gives way to all who do.
PATIENCE_SECONDS = 600
RENEWAL_SECONDS = reindex_claims.CLAIM_SECONDS / 4


class Reembedder:
    """Embeds for one version, a range at a time. `failures` are images that it could not embed."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        pictures: PictureReader,
        queue: EmbeddingQueue,
        version: ModelVersion,
        *,
        worker: str,
        pool: ThreadPoolExecutor,
    ) -> None:
        """`pool` decodes, with DECODING_THREADS threads."""
        self.worker = worker
        self.failures: dict[int, str] = {}
        self._database = database
        self._blobs = blobs
        self._pictures = pictures
        self._queue = queue
        self._version = version
        self._pool = pool
        self._renewed_at = time.monotonic()

    def work(self) -> bool:
        """Embed one range; false when there is none to take now. Raises DatabaseUnavailable."""
        with self._database.writing() as session:
            claim = reindex_claims.take(
                session,
                self._version.id,
                self.worker,
                passing_by=self.failures,
                limit=IMAGES_PER_CLAIM,
            )
        if claim is None:
            return False
        vectors = self._embed(claim.images)
        rescued = self._rescue(claim.images, vectors)
        with self._database.writing() as session:
            is_ours = reindex_claims.finish(
                session, claim, embedded=len(vectors), copied=len(rescued)
            )
            if is_ours:
                every = vectors | rescued
                present = images.hold(session, list(every))
                embeddings.put(
                    session, self._version.id, {number: every[number] for number in present}
                )
        return True

    def renew(self) -> None:
        """Show that this worker lives, if it is time to. Raises DatabaseUnavailable."""
        if time.monotonic() - self._renewed_at < RENEWAL_SECONDS:
            return
        with self._database.writing() as session:
            reindex_claims.renew(session, self._version.id, self.worker)
        self._renewed_at = time.monotonic()

    def _embed(self, batch: Sequence[tuple[int, str]]) -> dict[int, NDArray[np.float32]]:
        def prepared(sha256: str) -> NDArray[np.uint8]:
            with self._blobs.fetched(sha256) as path:
                return self._pictures.pixels(path, self._queue.encoder)

        pixels = [(number, self._pool.submit(prepared, sha256)) for number, sha256 in batch]
        submitted: list[tuple[int, Future[NDArray[np.float32]]]] = []
        vectors: dict[int, NDArray[np.float32]] = {}
        for number, future in pixels:
            self.renew()
            try:
                embedding = self._queue.submit_pixels(
                    future.result(), wait_seconds=PATIENCE_SECONDS
                )
                submitted.append((number, embedding))
            except ImageError as error:
                self.failures[number] = str(error)
            except StorageError as error:
                # Where the file lies is the server's business.
                self.failures[number] = error.reason
        for number, coming in submitted:
            self.renew()
            vector = coming.result()
            try:
                embeddings.pack(vector)
            except EmbeddingRejected as error:
                self.failures[number] = str(error)
            else:
                vectors[number] = vector
        return vectors

    def _rescue(
        self, batch: Sequence[tuple[int, str]], vectors: dict[int, NDArray[np.float32]]
    ) -> dict[int, NDArray[np.float32]]:
        """What the live version has of images that failed, if its weights are the same."""
        lost = [number for number, _ in batch if number not in vectors]
        with self._database.reading() as session:
            live = model_versions.live(session)
            if not lost or live is None or live.fingerprint != self._version.fingerprint:
                return {}
            return embeddings.get_many(session, live.id, lost)
