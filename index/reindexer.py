"""Embedding every image again for another version, then making that version live."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from index.blobs import BlobStore
from index.encoders import Encoders
from index.pictures import PictureReader
from index.reembedding import DECODING_THREADS, Reembedder
from index.store import changes, embeddings, images, model_versions, reindex_claims
from index.store.database import Database
from index.store.model_versions import ModelVersion

# How long to wait for the ranges that others hold before looking again.
WAIT_SECONDS = 0.2


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
    """Runs one reindex. It can be stopped at any image and run again, and goes on where it was.

    Any number of workers may share the embedding: each takes ranges of images for itself, and no
    two the same. The one that runs it also ends it.
    """

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
        with self._working(version) as hand:
            with self._database.writing() as session:
                reindex_claims.begin(session, version_id, hand.worker)
            while True:
                if report(*self._progress(version_id)):
                    raise Cancelled
                if hand.work():
                    continue
                if self._complete(version_id, hand.failures, is_to_go_live=is_to_go_live):
                    break
                # Others still embed, or an image has come meanwhile.
                hand.renew()
                time.sleep(WAIT_SECONDS)
            with self._database.reading() as session:
                embedded, copied = reindex_claims.totals(session, version_id)
        report(*self._progress(version_id))
        return Reindexed(version_id, embedded, copied, self._named(hand.failures))

    def help(self, should_stop: Callable[[], bool]) -> bool:
        """Embed for a reindex that another worker runs, while there is something; gives whether.

        Raises CheckpointError, DatabaseUnavailable.
        """
        with self._database.reading() as session:
            version_id = reindex_claims.running(session)
            if version_id is None:
                return False
            version = model_versions.get(session, version_id)
        has_helped = False
        with self._working(version) as hand:
            while not should_stop() and hand.work():
                has_helped = True
        return has_helped

    @contextmanager
    def _working(self, version: ModelVersion) -> Iterator[Reembedder]:
        """One worker's hand on a version; whatever it holds in the end is given back."""
        queue = self._encoders.of(version)
        with ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="reindex") as pool:
            hand = Reembedder(
                self._database,
                self._blobs,
                self._pictures,
                queue,
                version,
                worker=secrets.token_hex(16),
                pool=pool,
            )
            try:
                yield hand
            finally:
                with self._database.writing() as session:
                    reindex_claims.end(session, version.id, hand.worker)

    def _named(self, failures: dict[int, str]) -> tuple[Failure, ...]:
        with self._database.reading() as session:
            rows = images.by_number(session, list(failures))
        return tuple(
            Failure(row.id, row.filename, failures[number]) for number, row in rows.items()
        )

    def _progress(self, version_id: str) -> tuple[int, int]:
        with self._database.reading() as session:
            return embeddings.count(session, version_id), images.count(session)

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
