"""The vector index that answers queries, kept in step with the change log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import structlog

from index.encoders import Encoders
from index.errors import RetrievalError, SnapshotError
from index.filling import fill, put_stored
from index.store import changes, embeddings, model_versions
from index.store.announcements import Announcements
from index.store.changes import Change, ChangeKind
from index.store.database import Database
from index.store.model_versions import ModelVersion
from index.vectors.asked import AskedVectors
from index.vectors.base import VectorIndex
from index.vectors.keeping import IndexKeeper
from model import EmbeddingQueue, ModelError

log = structlog.get_logger()

POLL_SECONDS = 0.25
SNAPSHOT_AFTER_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Generation:
    """One model version with its encoder and its vectors: a query is answered by one, wholly."""

    version: ModelVersion
    queue: EmbeddingQueue
    vectors: VectorIndex
    asked: AskedVectors


class LiveIndex:
    """The index of this process. Thread-safe.

    `catch_up` applies every change committed before the call, so whoever has just committed one
    sees it; a thread does the same for the changes of other processes. A promotion builds the new
    version's vectors beside the old ones and swaps the two in one assignment.
    """

    def __init__(self, database: Database, encoders: Encoders, keeper: IndexKeeper) -> None:
        self._database = database
        self._encoders = encoders
        self._keeper = keeper
        self._lock = threading.Lock()
        self._announcements = Announcements(database)
        self._saved_at = time.monotonic()
        self._snapshot_problem: str | None = None
        self._follow_problem: str | None = None
        self._generation, self._sequence = self._open()
        self._saved_sequence = self._sequence
        self.catch_up()
        self._thread = threading.Thread(target=self._follow, name="follow-changes", daemon=True)
        self._thread.start()

    @property
    def generation(self) -> Generation:
        """What answers queries now; hold on to it for the whole of one query."""
        return self._generation

    @property
    def problems(self) -> list[str]:
        """What keeps the index from being followed or saved, in sentences."""
        return [problem for problem in (self._snapshot_problem, self._follow_problem) if problem]

    def catch_up(self) -> None:
        """Apply every change committed before this call. Raises DatabaseUnavailable."""
        with self._lock:
            self._generation, self._sequence = self._followed(self._generation, self._sequence)

    def renew(self, improve: Callable[[Generation], None]) -> None:
        """Build the index again from SQL, let `improve` tune it, and swap it in.

        The old one answers until then. Nothing is swapped when another version became live
        meanwhile. Raises DatabaseUnavailable, CheckpointError.
        """
        before = self._generation
        generation, sequence = self._build(before.version)
        generation = replace(generation, asked=before.asked)
        improve(generation)
        # Most of what was committed meanwhile, without keeping writers waiting for it.
        generation, sequence = self._followed(generation, sequence)
        with self._lock:
            if self._generation.version.id != generation.version.id:
                return
            self._generation, self._sequence = self._followed(generation, sequence)
            self._saved_sequence = -1
        log.info("index_renewed", **asdict(generation.vectors.describe()))

    def save(self) -> None:
        """Write a snapshot if anything changed since the last; a failure is kept, not raised."""
        with self._lock:
            sequence = self._sequence
            generation = self._generation
            if sequence == self._saved_sequence:
                return
            write = self._keeper.saving(generation.vectors, generation.version.id, sequence)
        self._saved_at = time.monotonic()
        try:
            write()
        except SnapshotError as error:
            self._snapshot_problem = f"The index could not be saved: {error.reason}"
            log.warning("snapshot_failed", reason=str(error))
            return
        self._snapshot_problem = None
        self._saved_sequence = sequence

    def close(self) -> None:
        """Stop following and save."""
        self._announcements.close()
        self._thread.join()
        self.save()

    def _followed(self, generation: Generation, sequence: int) -> tuple[Generation, int]:
        """The generation after every committed change; another one if a version was promoted."""
        while True:
            with self._database.reading() as session:
                batch = changes.since(session, sequence)
                promoted = any(change.kind == "promote" for change in batch)
                version = model_versions.live(session) if promoted else None
                added = _images(batch, "add")
                stored = embeddings.stored(
                    session, generation.version.id, generation.version.dimension, added
                )
            if not batch:
                return generation, sequence
            if version is not None and version.id != generation.version.id:
                generation, sequence = self._build(version)
                log.info("model_promoted", model_version=version.id)
                continue
            generation.vectors.remove(np.array(_images(batch, "remove"), dtype=np.int64))
            put_stored(generation.vectors, stored)
            sequence = batch[-1].sequence

    def _open(self) -> tuple[Generation, int]:
        with self._database.reading() as session:
            version = model_versions.live(session)
        assert version is not None, "a version is registered before the index is opened"
        try:
            vectors, sequence = self._keeper.load(version.id, version.dimension)
        except SnapshotError:
            return self._build(version)
        with self._database.reading() as session:
            if sequence > changes.last_sequence(session):
                # A database put back from a backup: the snapshot knows of changes that never were.
                log.info("index_rebuild", reason="the snapshot is newer than the database")
                self._keeper.discard(version.id)
                return self._build(version)
        return self._generation_of(version, vectors), sequence

    def _build(self, version: ModelVersion) -> tuple[Generation, int]:
        vectors = self._keeper.empty(version.id, version.dimension)
        sequence = fill(self._database, version, vectors)
        return self._generation_of(version, vectors), sequence

    def _generation_of(self, version: ModelVersion, vectors: VectorIndex) -> Generation:
        asked = AskedVectors(version.dimension)
        return Generation(version, self._encoders.of(version), vectors, asked)

    def _follow(self) -> None:
        while self._announcements.wait(POLL_SECONDS):
            self._follow_problem = _problem_of(self.catch_up)
            if time.monotonic() - self._saved_at > SNAPSHOT_AFTER_SECONDS:
                self.save()
        self._announcements.disconnect()


def _images(batch: Sequence[Change], kind: ChangeKind) -> list[int]:
    """The numbers of the images that came or went, ascending."""
    numbers = {change.image_number for change in batch if change.kind == kind}
    return sorted(number for number in numbers if number is not None)


def _problem_of(action: Callable[[], None]) -> str | None:
    try:
        action()
    except (RetrievalError, ModelError) as error:
        log.warning("changes_not_followed", reason=str(error))
        return f"The index is behind: {error}"
    return None
