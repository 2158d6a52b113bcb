"""Reading the pairs: pages of them, tables of them, what training takes, what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from sqlalchemy import and_

from index import cursors
from index.blobs import BlobStore
from index.encoders import Encoders
from index.errors import StorageError
from index.pairs.checking import PairCheck, check_pairs
from index.pairs.tables import write_table
from index.pairs.training_set import TrainingPairs, training_pairs
from index.store import changes, model_versions, pairs
from index.store.database import Database
from index.store.pairs import Pair, Side


@dataclass(frozen=True, slots=True)
class PairPage:
    """One page of pairs, newest first; `total` counts all pages."""

    pairs: list[Pair]
    next_cursor: str | None
    total: int


class PairLibrary:
    """The owner's pairs. Thread-safe; calls block for the database."""

    def __init__(self, database: Database, blobs: BlobStore, encoders: Encoders) -> None:
        self._database = database
        self._blobs = blobs
        self._encoders = encoders

    def page(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        image_id: str | None = None,
        side: Side | None = None,
    ) -> PairPage:
        """A page of the pairs of one image, or side, or all.

        Raises CursorError, DatabaseUnavailable.
        """
        before_number = None if cursor is None else cursors.unpack_number(cursor)
        conditions = []
        if image_id is not None:
            conditions.append(pairs.of_image(image_id))
        if side is not None:
            conditions.append(pairs.on_side(side))
        where = and_(*conditions) if conditions else None
        with self._database.reading() as session:
            found = pairs.page(session, where=where, before_number=before_number, limit=limit + 1)
            total = pairs.count(session, where)
        shown = found[:limit]
        next_cursor = cursors.pack({"n": shown[-1].number}) if len(found) > limit else None
        return PairPage(shown, next_cursor, total)

    def count(self) -> int:
        """How many pairs there are. Raises DatabaseUnavailable."""
        with self._database.reading() as session:
            return pairs.count(session)

    def delete(self, pair_id: str) -> None:
        """Remove a pair; its image stays. Raises NotFound, DatabaseUnavailable."""
        with self._database.writing() as session:
            # Whoever adds a pair of the same image at this moment must not lose it with the last.
            changes.take_lock(session)
            pairs.delete(session, pair_id)

    def table(self, format: Literal["tsv", "jsonl"]) -> Iterator[str]:
        """Every pair as the lines of a table that an import reads back.

        Raises DatabaseUnavailable.
        """
        with self._database.reading() as session:
            yield from write_table(chain.from_iterable(pairs.stream(session)), format)

    def training_set(self) -> TrainingPairs:
        """Every pair, by image and side, each image's file at its path unless it is missing.

        Bytes in an object store are copied to the disk first. Raises DatabaseUnavailable.
        """
        found = self._all()
        for image in (*found.train, *found.validation):
            with contextlib.suppress(StorageError):
                self._blobs.open_path(image.sha256)
        return found

    def check(self) -> PairCheck:
        """What is wrong with the pairs, for the model that is live.

        Raises DatabaseUnavailable, CheckpointError, StorageError.
        """
        with self._database.reading() as session:
            version = model_versions.live(session)
        assert version is not None, "a service that is open has a live version"
        encoder = self._encoders.of(version).encoder
        return check_pairs(
            self._all(),
            are_truncated=encoder.are_truncated,
            context_length=encoder.context_length,
            has_file=self._blobs.has,
        )

    def _all(self) -> TrainingPairs:
        with self._database.reading() as session:
            placed = {one.image_number: one for one in pairs.placed(session)}
            every = chain.from_iterable(pairs.stream(session))
            return training_pairs(every, placed, self._blobs)
