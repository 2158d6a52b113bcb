"""Where vector indexes come from and where they stay between two starts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from index.errors import SnapshotError
from index.vectors import snapshots
from index.vectors.base import VectorIndex
from index.vectors.faiss_index import FaissIndex

log = structlog.get_logger()


class IndexKeeper(Protocol):
    """Makes, loads and saves the index of a model version."""

    def empty(self, version_id: str, dimension: int) -> VectorIndex:
        """An index to be filled from SQL, which may hold a part. Raises IndexUnavailable."""

    def load(self, version_id: str, dimension: int) -> tuple[VectorIndex, int]:
        """The index as it was saved, and the sequence number of the last change in it.

        Raises SnapshotError when there is none that can be trusted, IndexUnavailable.
        """

    def saving(self, index: VectorIndex, version_id: str, sequence: int) -> Callable[[], None]:
        """What keeps the index as it is now, with every change up to `sequence`, when called.

        Apart, since taking the state has to hold changes up and writing it has not. The call
        raises SnapshotError.
        """

    def discard(self, version_id: str) -> None:
        """Forget what was saved: it knows of changes that never were. Raises IndexUnavailable."""

    def close(self) -> None:
        """Give back what was opened."""


class FaissKeeper:
    """Indexes in this process's memory, saved as one file a version in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def empty(self, _version_id: str, dimension: int) -> FaissIndex:
        """An index without vectors."""
        return FaissIndex(dimension)

    def load(self, version_id: str, dimension: int) -> tuple[FaissIndex, int]:
        """The index of the newest snapshot; one that is damaged is kept aside."""
        path = self._path(version_id)
        try:
            snapshot = snapshots.read(path, model_version=version_id, dimension=dimension)
            try:
                restored = FaissIndex.restored(dimension, snapshot.state)
            except ValueError as error:
                raise SnapshotError(path, f"its structure can't be read ({error})") from error
        except SnapshotError as error:
            if path.exists():
                aside = snapshots.set_aside(path)
                log.warning("snapshot_damaged", reason=error.reason, kept_aside=str(aside))
            raise
        return restored, snapshot.sequence

    def saving(self, index: VectorIndex, version_id: str, sequence: int) -> Callable[[], None]:
        """What writes a snapshot."""
        assert isinstance(index, FaissIndex), "each keeper saves what it made"
        snapshot = snapshots.Snapshot(version_id, sequence, index.state())
        return partial(snapshots.write, self._path(version_id), snapshot)

    def discard(self, version_id: str) -> None:
        """Remove the snapshot."""
        self._path(version_id).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, version_id: str) -> Path:
        return self._directory / f"{version_id}.safetensors"
