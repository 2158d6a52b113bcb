"""Group commit: images that arrive together become durable in one transaction."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from index.blobs import THUMBNAIL_SIZE, BlobStore
from index.errors import CollectionClosed, DatabaseUnavailable, RetrievalError
from index.live_index import LiveIndex
from index.store import changes, collections, embeddings, images, model_versions, picture_hashes
from index.store.database import Database
from index.store.images import ImageRecord, NewImage

IMAGES_PER_COMMIT = 64


@dataclass(frozen=True, slots=True)
class Arrival:
    """A decoded and embedded upload, ready to be written; `vectors` by model version.

    `hash` is what it looks like, by `perceptual_hash`.
    """

    image: NewImage
    path: Path
    thumbnail: bytes
    hash: bytes
    vectors: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Added:
    """The stored image, and whether this upload made it."""

    image: ImageRecord
    is_new: bool


Waiting: TypeAlias = tuple[Arrival, Future[Added | None]]


class Arrivals:
    """One thread that commits whatever waits. Thread-safe.

    A commit costs a wait for the disk however much is in it, so those that queue up behind one
    share the next.
    """

    def __init__(self, database: Database, blobs: BlobStore, live: LiveIndex) -> None:
        self._database = database
        self._blobs = blobs
        self._live = live
        self._waiting: deque[Waiting] = deque()
        self._condition = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="commit-arrivals", daemon=True)
        self._thread.start()

    def commit(self, arrival: Arrival) -> Added | None:
        """The stored image, committed and searchable; None if it lacks a version's embedding.

        Raises StorageError, CollectionClosed, EmbeddingRejected, DatabaseUnavailable.
        """
        for vector in arrival.vectors.values():
            embeddings.pack(vector)
        self._blobs.keep_thumbnail(arrival.thumbnail, arrival.image.sha256, THUMBNAIL_SIZE)
        # Here, beside the other uploads: the thread that commits holds the log's lock meanwhile.
        self._blobs.prepare(arrival.path, arrival.image.sha256)
        future: Future[Added | None] = Future()
        with self._condition:
            assert not self._is_closed, "nothing arrives after the end"
            self._waiting.append((arrival, future))
            self._condition.notify()
        added = future.result()
        if added is not None:
            self._blobs.confirm(arrival.path, arrival.image.sha256)
        return added

    def close(self) -> None:
        """Commit what waits, then end the thread."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._is_closed or self._waiting)
                batch = [
                    self._waiting.popleft()
                    for _ in range(min(IMAGES_PER_COMMIT, len(self._waiting)))
                ]
            if not batch:
                return
            self._settle(batch)

    def _settle(self, batch: list[Waiting]) -> None:
        try:
            outcomes = self._write([arrival for arrival, _ in batch])
            self._live.catch_up()
        except BaseException as error:  # noqa: BLE001  (each waiting upload must hear of it)
            if len(batch) > 1 and not isinstance(error, DatabaseUnavailable):
                # What breaks the transaction may be in one of them; the others get their own.
                for one in batch:
                    self._settle([one])
                return
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, RetrievalError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _write(self, batch: list[Arrival]) -> list[Added | RetrievalError | None]:
        with self._database.writing() as session:
            changes.take_lock(session)
            needed = {version.id for version in model_versions.embedding(session)}
            known = collections.settings_of(session, {one.image.collection for one in batch})
            outcomes: list[Added | RetrievalError | None] = []
            hashes: dict[int, bytes] = {}
            vectors: dict[str, dict[int, NDArray[np.float32]]] = {
                version_id: {} for version_id in needed
            }
            for arrival in batch:
                if needed - set(arrival.vectors):
                    outcomes.append(None)
                    continue
                name = arrival.image.collection
                same = images.find_same(session, name, arrival.image.sha256)
                if same is None and name in known and not known[name].accepts_uploads:
                    outcomes.append(CollectionClosed(name))
                    continue
                try:
                    self._blobs.keep(arrival.path, arrival.image.sha256)
                except RetrievalError as error:
                    outcomes.append(error)
                    continue
                if same is not None:
                    outcomes.append(Added(same, is_new=False))
                    continue
                record = images.add(session, arrival.image)
                outcomes.append(Added(record, is_new=True))
                hashes[record.number] = arrival.hash
                for version_id in needed:
                    vectors[version_id][record.number] = arrival.vectors[version_id]
            for version_id in needed:
                embeddings.put(session, version_id, vectors[version_id])
            picture_hashes.put(session, hashes)
            added = [o.image for o in outcomes if isinstance(o, Added) and o.is_new]
            collections.add(session, {image.collection for image in added} - known.keys())
            if added:
                changes.append(session, "add", [image.number for image in added])
        return outcomes
