"""Exact inner-product search in the process, on FAISS's flat index.

Shape letters: N queries or vectors, D components, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import faiss
import numpy as np
from numpy.typing import NDArray

from index.errors import DimensionMismatch
from index.vectors.read_write_lock import ReadWriteLock

NO_NUMBER = -1
# Under this share of allowed vectors it is cheaper to copy them out and multiply than to let FAISS
# walk over all the others; benchmarks/index_filters.py shows where the two lines cross.
GATHER_BELOW = 0.25


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What a search found, best first: `numbers` (N, k) with -1 for none, `scores` (N, k)."""

    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]


class FaissIndex:
    """Unit vectors by image number; add, replace, remove and search without rebuilding.

    A vector lives in a slot of the flat index. Removing one moves the last slot into its place,
    so removal costs the same whatever the size. Thread-safe: searches exclude writers only.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._flat: Any = faiss.IndexFlatIP(dimension)
        self._numbers: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._slots: dict[int, int] = {}
        self._lock = ReadWriteLock()

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, number: int) -> bool:
        return number in self._slots

    def put(self, numbers: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add vectors (N, D) of unit length under their image numbers, replacing those there.

        Raises DimensionMismatch.
        """
        self._check(vectors)
        with self._lock.writing():
            last = {int(number): row for row, number in enumerate(numbers)}
            fresh = [(number, row) for number, row in last.items() if number not in self._slots]
            for number, row in last.items():
                if number in self._slots:
                    self._memory()[self._slots[number]] = vectors[row]
            if not fresh:
                return
            first = len(self._slots)
            added = np.array([number for number, _ in fresh], dtype=np.int64)
            self._flat.add(np.ascontiguousarray(vectors[[row for _, row in fresh]]))
            self._grow(first + len(fresh))
            self._numbers[first : first + len(fresh)] = added
            self._slots.update({int(number): first + i for i, number in enumerate(added)})

    def remove(self, number: int) -> bool:
        """Forget one image; gives whether it was there."""
        with self._lock.writing():
            slot = self._slots.pop(number, None)
            if slot is None:
                return False
            last = len(self._slots)
            if slot != last:
                memory = self._memory()
                memory[slot] = memory[last]
                moved = int(self._numbers[last])
                self._numbers[slot] = moved
                self._slots[moved] = slot
            self._flat.remove_ids(faiss.IDSelectorRange(last, last + 1))
            return True

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None = None
    ) -> Neighbours:
        """The k nearest stored vectors of each query by inner product.

        `queries` is (N, D) with unit rows, so scores are cosines. `allowed` holds the only image
        numbers that may be found. Rows with fewer than k matches end with number -1. The order of
        equal scores is not promised. A search sees each change wholly or not at all.

        Raises DimensionMismatch.
        """
        self._check(queries)
        queries = np.ascontiguousarray(queries)
        with self._lock.reading():
            if allowed is None:
                # FAISS fills what it can't find with -1, but a k far over the store costs memory.
                reachable = min(k, len(self._slots))
                if reachable == 0:
                    return _padded(np.empty((len(queries), 0)), np.empty((len(queries), 0)), k)
                scores, slots = self._flat.search(queries, reachable)
                return _padded(self._numbers[slots], scores, k)
            slots = np.array(
                sorted({s for n in allowed.tolist() if (s := self._slots.get(n)) is not None}),
                dtype=np.int64,
            )
            reachable = min(k, len(slots))
            if reachable == 0:
                return _padded(np.empty((len(queries), 0)), np.empty((len(queries), 0)), k)
            if len(slots) < GATHER_BELOW * len(self._slots):
                scores = queries @ self._memory()[slots].T
                best = _best(scores, reachable)
                return _padded(
                    self._numbers[slots[best]], np.take_along_axis(scores, best, axis=1), k
                )
            selector = faiss.IDSelectorBatch(slots)
            scores, found = self._flat.search(
                queries,
                reachable,
                params=faiss.SearchParameters(sel=selector),  # type: ignore[call-arg]
            )
            return _padded(self._numbers[found], scores, k)

    def vectors(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored vectors (N, D) of numbers that `search` gave; zeros for one removed since."""
        with self._lock.reading():
            found = np.zeros((len(numbers), self.dimension), dtype=np.float32)
            memory = self._memory()
            for row, number in enumerate(numbers.tolist()):
                slot = self._slots.get(number)
                if slot is not None:
                    found[row] = memory[slot]
            return found

    def contents(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """A copy of everything: numbers (N,) and vectors (N, D), in one consistent state."""
        with self._lock.reading():
            return self._numbers[: len(self._slots)].copy(), self._memory().copy()

    def _memory(self) -> NDArray[np.float32]:
        size = len(self._numbers) and self._flat.ntotal
        if size == 0:
            return np.empty((0, self.dimension), dtype=np.float32)
        view = faiss.rev_swig_ptr(self._flat.get_xb(), size * self.dimension)
        return cast("NDArray[np.float32]", view.reshape(size, self.dimension))

    def _grow(self, size: int) -> None:
        if size > len(self._numbers):
            larger = np.full(max(size, 2 * len(self._numbers), 1024), NO_NUMBER, dtype=np.int64)
            larger[: len(self._numbers)] = self._numbers
            self._numbers = larger

    def _check(self, vectors: NDArray[np.float32]) -> None:
        if vectors.shape[1] != self.dimension:
            raise DimensionMismatch(self.dimension, vectors.shape[1])


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The columns of the k largest entries of each row, largest first."""
    if k < scores.shape[1]:
        columns = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    else:
        columns = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _padded(numbers: NDArray[Any], scores: NDArray[Any], k: int) -> Neighbours:
    missing = k - numbers.shape[1]
    return Neighbours(
        np.pad(numbers.astype(np.int64), ((0, 0), (0, missing)), constant_values=NO_NUMBER),
        np.pad(scores.astype(np.float32), ((0, 0), (0, missing)), constant_values=-np.inf),
    )
