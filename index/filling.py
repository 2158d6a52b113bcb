"""Filling a vector index from SQL, wherever it is; what it holds already is not sent again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import structlog

from index.errors import NotFound
from index.store import changes, embeddings, model_versions
from index.store.database import Database
from index.store.embeddings import Stored
from index.store.model_versions import ModelVersion
from index.vectors.base import VectorIndex
from index.vectors.keeping import IndexKeeper

log = structlog.get_logger()


def fill(
    database: Database,
    version: ModelVersion,
    vectors: VectorIndex,
    report: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Bring an index to every embedding of a version; gives the number of the last change in it.

    Stopped at any moment it goes on where it was when it is called again. `report` gets how many
    are done and how many there are. Raises DatabaseUnavailable, IndexUnavailable.
    """
    present = vectors.numbers()
    stale = set(present.tolist())
    done = 0
    with database.reading() as session:
        # Read before the vectors: what is committed in between is applied twice, never missed.
        sequence = changes.last_sequence(session)
        total = embeddings.count(session, version.id)
        for stored in embeddings.stream(session, version.id, version.dimension):
            is_lacking = ~np.isin(stored.numbers, present)
            put_stored(
                vectors,
                Stored(stored.numbers[is_lacking], stored.vectors[is_lacking], stored.unsound),
            )
            stale.difference_update(stored.numbers.tolist())
            done += len(stored.numbers)
            report(done, total)
    vectors.remove(np.array(sorted(stale), dtype=np.int64))
    return sequence


def move(
    database: Database, keeper: IndexKeeper, report: Callable[[int, int], None]
) -> tuple[ModelVersion, int]:
    """Bring the live version's index where `keeper` keeps it; gives the version and how many.

    Stopped at any moment it goes on where it was when it is called again.

    Raises NotFound before the first start, DatabaseUnavailable, IndexUnavailable, SnapshotError.
    """
    with database.reading() as session:
        version = model_versions.live(session)
    if version is None:
        raise NotFound("model version", "live")
    vectors = keeper.empty(version.id, version.dimension)
    sequence = fill(database, version, vectors, report)
    keeper.saving(vectors, version.id, sequence)()
    return version, len(vectors)


def put_stored(vectors: VectorIndex, stored: Stored) -> None:
    """Add or replace embeddings, and say which could not be used."""
    if stored.unsound:
        log.warning("embeddings_left_out", image_numbers=list(stored.unsound))
    vectors.put(stored.numbers, stored.vectors)
