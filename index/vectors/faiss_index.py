"""Vector search in the process: exact, or proposed by a FAISS structure and scored exactly.

Shape letters: N queries or vectors, D components, k neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from index.errors import DimensionMismatch
from index.vectors.base import (
    NO_NUMBER,
    Description,
    Measured,
    Neighbours,
    Numbers,
    StoredVectors,
    Vectors,
)
from index.vectors.flat_scan import FlatScan
from index.vectors.read_write_lock import ReadWriteLock
from index.vectors.rows import Rows
from index.vectors.state import Built, State
from index.vectors.structure import Structure, faiss_threads

# Until it is measured: so many rows are scanned in about five milliseconds.
SCANNED_ROWS = 40_000
# Scored exactly beyond k: products of unnormalised float16 may order near ties another way.
SPARE = 8
ROWS_PER_BLOCK = 8_192
# A writer holds the searches up while it adds to a structure; this many at a time.
ADDED_AT_A_TIME = 16


class FaissIndex:
    """A `VectorIndex` in this process's memory. Thread-safe: searches exclude writers only.

    Without a structure every search scans all vectors. With one, the structure proposes rows,
    which are then scored with the stored vectors; allowed images that are few enough are scanned
    anyway, so that a narrow filter gives the exact top k.
    """

    def __init__(self, dimension: int) -> None:
        self._rows = Rows(dimension)
        self._scan = FlatScan(dimension)
        self._structure: Structure | None = None
        self._measured: Measured | None = None
        self._scanned_rows = SCANNED_ROWS
        self._lock = ReadWriteLock(os.cpu_count() or 1)

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return self._rows.dimension

    @property
    def structure(self) -> Structure | None:
        """What proposes rows; None while every search is exact."""
        return self._structure

    def __len__(self) -> int:
        return self._rows.live

    def __contains__(self, number: int) -> bool:
        return bool(len(self._rows.find(np.array([number], dtype=np.int64))))

    def put(self, numbers: Numbers, vectors: Vectors | StoredVectors) -> None:
        """Add or replace vectors (N, D), float16 as stored or float32. Raises DimensionMismatch."""
        self._check(vectors)
        last = {int(number): row for row, number in enumerate(numbers)}
        if len(last) < len(numbers):
            numbers = np.array(list(last), dtype=np.int64)
            vectors = vectors[list(last.values())]
        stored = np.ascontiguousarray(vectors, dtype=np.float16)
        # Without a structure nothing takes long; with one a long wait would be felt by searches.
        step = ADDED_AT_A_TIME if self._structure is not None else max(1, len(numbers))
        for start in range(0, len(numbers), step):
            with self._lock.writing():
                self._put(numbers[start : start + step], stored[start : start + step])

    def remove(self, numbers: Numbers) -> int:
        """Forget images; gives how many were there."""
        if len(numbers) == 0:
            return 0
        with self._lock.writing():
            return self._rows.remove(numbers, keep_places=self._structure is not None)

    def search(self, queries: Vectors, k: int, allowed: Numbers | None = None) -> Neighbours:
        """The k nearest of each query (N, D), as `VectorIndex.search` says."""
        self._check(queries)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        with self._lock.reading():
            rows = None if allowed is None else self._rows.find(allowed)
            matching = self._rows.live if rows is None else len(rows)
            reachable = min(k, matching)
            if reachable == 0 or len(queries) == 0:
                nothing = np.empty((len(queries), 0), dtype=np.int64)
                return _padded(nothing, nothing.astype(np.float32), k)
            if self._structure is None or (rows is not None and matching <= self._scanned_rows):
                found, scores = self._exact(queries, reachable, rows)
            else:
                found, scores = self._proposed(queries, reachable, rows)
            return _padded(self._rows.numbers[found], scores, k)

    def exact(self, queries: Vectors, k: int) -> Neighbours:
        """The k nearest of each query by a scan of every vector, whatever the structure."""
        with self._lock.reading():
            found, scores = self._exact(queries, min(k, self._rows.live), None)
            return _padded(self._rows.numbers[found], scores, k)

    def vectors(self, numbers: Numbers) -> Vectors:
        """The stored vectors (N, D) of unit length; zeros for a number that is not there."""
        with self._lock.reading():
            return self._rows.vectors(numbers)

    def numbers(self) -> Numbers:
        """Every image number, in no order."""
        with self._lock.reading():
            return self._rows.live_numbers()

    def contents(self) -> tuple[Numbers, StoredVectors]:
        """Numbers (N,) and vectors (N, D) in one consistent state; not to be written."""
        with self._lock.reading():
            return self._rows.contents(is_settled=self._structure is not None)

    def state(self) -> State:
        """Everything a snapshot needs, in one consistent state; not to be written."""
        with self._lock.reading():
            structure = self._structure
            if structure is None:
                used = self._rows.used
                return State(
                    self._rows.numbers[:used].copy(),
                    self._rows.stored[:used].copy(),
                    self._rows.scales[:used].copy(),
                )
            used = self._rows.used
            return State(
                self._rows.numbers[:used].copy(),
                self._rows.stored[:used],
                self._rows.scales[:used],
                Built(
                    structure.recipe,
                    structure.efforts,
                    structure.dumped(),
                    self._measured,
                    self._scanned_rows,
                ),
            )

    @classmethod
    def restored(cls, dimension: int, state: State) -> FaissIndex:
        """The index that had this state. Raises ValueError when FAISS can't read the structure."""
        index = cls(dimension)
        index._rows.fill(state.numbers, state.stored, state.scales)
        if state.built is not None:
            built = state.built
            index._structure = Structure.loaded(built.recipe, built.content, built.efforts)
            index._measured = built.measured
            index._scanned_rows = built.scanned_rows
            if len(index._structure) != len(state.numbers):
                raise ValueError("the structure has another number of rows")
        return index

    def blocks(self) -> Iterator[Vectors]:
        """Every row in order, removed ones too, as float32 (N, D) blocks; nobody may write."""
        for start in range(0, self._rows.used, ROWS_PER_BLOCK):
            end = min(start + ROWS_PER_BLOCK, self._rows.used)
            yield self._rows.stored[start:end].astype(np.float32)

    def install(self, structure: Structure | None, measured: Measured, scanned_rows: int) -> None:
        """Let `structure`, which holds every row in order, propose from now on."""
        with self._lock.writing():
            assert structure is None or len(structure) == self._rows.used
            self._structure = structure
            self._measured = measured
            self._scanned_rows = scanned_rows

    def describe(self) -> Description:
        """Kind, parameters, memory, and what tuning measured."""
        with self._lock.reading():
            structure = self._structure
            memory = self._rows.memory_bytes + (structure.memory_bytes() if structure else 0)
            return Description(
                kind=structure.recipe.family if structure else "exact",
                size=self._rows.live,
                removed=self._rows.used - self._rows.live,
                memory_bytes=memory,
                parameters={
                    **(structure.parameters() if structure else {}),
                    "scanned_rows": self._scanned_rows,
                },
                measured=self._measured,
            )

    def _put(self, numbers: Numbers, stored: StoredVectors) -> None:
        if self._structure is None:
            self._rows.replace_or_append(numbers, stored)
            return
        # A structure can't change a code in place: the old row stays behind, and is not found.
        self._rows.remove(numbers, keep_places=True)
        self._rows.append(numbers, stored)
        # Threads that wait for one another beside searches on every core wait for milliseconds.
        with faiss_threads(1):
            self._structure.add(stored.astype(np.float32))

    def _exact(
        self, queries: Vectors, k: int, rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], Vectors]:
        if rows is None and self._rows.used > self._rows.live:
            rows = self._rows.live_rows()
        available = self._rows.used if rows is None else len(rows)
        found, products = self._scan.best(
            queries, self._rows.stored[: self._rows.used], min(k + SPARE, available), rows
        )
        return _ordered(found, products * self._rows.scales[found], k)

    def _proposed(
        self, queries: Vectors, k: int, rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], Vectors]:
        assert self._structure is not None
        selector = None if rows is None else _selector(rows, self._rows.used)
        share = 1.0 if rows is None else len(rows) / self._rows.live
        effort = self._structure.effort(k, share)
        proposals = self._structure.propose(queries, effort, selector and selector[0])
        allowed = selector and selector[1]
        best = [
            self._rescored(query, proposed, k, allowed)
            for query, proposed in zip(queries, proposals, strict=True)
        ]
        lacking = [position for position, (found, _) in enumerate(best) if len(found) < k]
        if lacking:
            # Too many of the proposed were removed or not allowed, or the lists visited held few.
            found, scores = self._exact(queries[lacking], k, rows)
            for position, *exact in zip(lacking, found, scores, strict=True):
                best[position] = (exact[0], exact[1])
        return np.stack([found for found, _ in best]), np.stack([scores for _, scores in best])

    def _rescored(
        self,
        query: NDArray[np.float32],
        proposed: NDArray[np.int64],
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best of the proposed rows that may be found; fewer if fewer may be."""
        rows = proposed[proposed >= 0]
        rows = rows[self._rows.numbers[rows] != NO_NUMBER]
        if allowed is not None:
            # Checked again, whatever the structure made of the selector.
            rows = rows[allowed[rows]]
        if len(rows) == 0:
            return rows, np.empty(0, dtype=np.float32)
        # In the order they lie in memory.
        rows = np.sort(rows)
        found, scores = self._scan.best_of_one(
            query, self._rows.stored, min(k + SPARE, len(rows)), rows
        )
        scores = scores * self._rows.scales[found]
        order = np.argsort(-scores, kind="stable")[:k]
        return found[order], scores[order]

    def _check(self, vectors: NDArray[Any]) -> None:
        if vectors.shape[1] != self.dimension:
            raise DimensionMismatch(self.dimension, vectors.shape[1])


def _selector(rows: NDArray[np.int64], used: int) -> tuple[Any, NDArray[np.bool_]]:
    """FAISS's selector of these rows, and the same as a mask (used,)."""
    mask = np.zeros(used, dtype=np.bool_)
    mask[rows] = True
    # The stubs know the C++ signature only.
    make: Any = faiss.IDSelectorBitmap
    return make(np.packbits(mask, bitorder="little")), mask


def _ordered(
    found: NDArray[np.int64], scores: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _padded(numbers: NDArray[Any], scores: NDArray[Any], k: int) -> Neighbours:
    count, width = numbers.shape
    if width == k:
        return Neighbours(numbers, scores)
    padded = Neighbours(
        np.full((count, k), NO_NUMBER, dtype=np.int64), np.full((count, k), -np.inf, np.float32)
    )
    padded.numbers[:, :width] = numbers
    padded.scores[:, :width] = scores
    return padded
