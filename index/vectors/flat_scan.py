"""Exact inner products with vectors held in float16, by FAISS's scanner or by matrix products.

The memory stays ours, which FAISS's own flat indexes do not allow: a snapshot can be mapped into
it, rows can be moved, and a handful of rows can be scanned wherever they lie.
"""

from __future__ import annotations

import threading
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

# From this many queries on, widening the vectors once and multiplying is faster than FAISS's
# scanner, which walks over them once for each query.
QUERIES_FOR_PRODUCTS = 6
# Rows that are widened at a time.
ROWS_PER_BLOCK = 4_096
# Rows that are gathered at a time: half a megabyte, which stays in a core's cache.
ROWS_GATHERED = 512


class FlatScan:
    """Scans rows of float16 vectors. Thread-safe."""

    def __init__(self, dimension: int) -> None:
        self._quantizer: Any = faiss.ScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16)
        self._dimension = dimension
        # FAISS's scanners hold the query, and its Python layer never frees one: one a thread.
        self._own = threading.local()

    def best(
        self,
        queries: NDArray[np.float32],
        stored: NDArray[np.float16],
        k: int,
        rows: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k best rows of `stored` (M, D) for each query (N, D), best first: rows and products.

        `rows` are the only ones looked at. k is at most their number.
        """
        if len(queries) < QUERIES_FOR_PRODUCTS:
            found = [self.best_of_one(query, stored, k, rows) for query in queries]
            return np.stack([r for r, _ in found]), np.stack([s for _, s in found])
        return _multiplied(queries, stored, k, rows)

    def best_of_one(
        self,
        query: NDArray[np.float32],
        stored: NDArray[np.float16],
        k: int,
        rows: NDArray[np.int64] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The same for one query (D,)."""
        scanner = self._scanner()
        query = np.ascontiguousarray(query)
        scanner.set_query(faiss.swig_ptr(query))
        products = np.full(k, -np.inf, dtype=np.float32)
        found = np.full(k, -1, dtype=np.int64)
        # Whatever is better goes into the heap that these two are.
        heap = faiss.swig_ptr(products), faiss.swig_ptr(found), k
        if rows is None and len(stored):
            rows = np.arange(len(stored), dtype=np.int64)
            codes = faiss.swig_ptr(stored.view(np.uint8))
            scanner.scan_codes(len(rows), codes, faiss.swig_ptr(rows), *heap)
        elif rows is not None:
            memory = self._gathering()
            codes = faiss.swig_ptr(memory.view(np.uint8))
            for start in range(0, len(rows), ROWS_GATHERED):
                block = rows[start : start + ROWS_GATHERED]
                # "clip" since numpy, to raise for a row that is not there, would copy once more.
                np.take(stored, block, axis=0, out=memory[: len(block)], mode="clip")
                scanner.scan_codes(len(block), codes, faiss.swig_ptr(block), *heap)
        order = np.argsort(-products, kind="stable")
        return found[order], products[order]

    def _scanner(self) -> Any:
        scanner = getattr(self._own, "scanner", None)
        if scanner is None:
            scanner = self._quantizer.select_InvertedListScanner(
                faiss.METRIC_INNER_PRODUCT,
                None,
                False,  # noqa: FBT003  (SWIG takes no keywords: labels are our own row numbers)
                None,
                False,  # noqa: FBT003  (codes are the vectors themselves, not residuals)
            )
            scanner.set_list(0, 0.0)
            self._own.scanner = scanner
        return scanner

    def _gathering(self) -> NDArray[np.float16]:
        """Memory of this thread for rows that are gathered."""
        memory: NDArray[np.float16] | None = getattr(self._own, "memory", None)
        if memory is None:
            memory = np.empty((ROWS_GATHERED, self._dimension), dtype=np.float16)
            self._own.memory = memory
        return memory


def _multiplied(
    queries: NDArray[np.float32],
    stored: NDArray[np.float16],
    k: int,
    rows: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    count = len(stored) if rows is None else len(rows)
    found = np.empty((len(queries), 0), dtype=np.int64)
    products = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, count, ROWS_PER_BLOCK):
        end = min(start + ROWS_PER_BLOCK, count)
        block = np.arange(start, end, dtype=np.int64) if rows is None else rows[start:end]
        wide = (stored[start:end] if rows is None else stored[block]).astype(np.float32)
        fresh = queries @ wide.T
        best = best_columns(fresh, min(k, fresh.shape[1]))
        found = np.concatenate([found, block[best]], axis=1)
        products = np.concatenate([products, np.take_along_axis(fresh, best, axis=1)], axis=1)
        kept = best_columns(products, min(k, products.shape[1]))
        found = np.take_along_axis(found, kept, axis=1)
        products = np.take_along_axis(products, kept, axis=1)
    return found, products


def best_columns(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The columns of the k largest entries of each row of (N, M), largest first; k is at most M."""
    if k < scores.shape[1]:
        columns = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    else:
        columns = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
