"""Vector indexes of every kind, filled and compared with brute force: for the contract's tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.vectors.base import Measured, VectorIndex
from index.vectors.faiss_index import FaissIndex
from index.vectors.milvus_index import MilvusKeeper
from index.vectors.structure import Effort, Recipe, Structure

DIMENSION = 24
EVERYTHING = 1_000_000
FIRST_SAMPLE = 5_000
RECIPES = {
    "ivf": Recipe("ivf", "IVF8,PQ12x4fs", 700),
    "hnsw": Recipe("hnsw", "HNSW16,SQ8", 700),
}
NOTHING_MEASURED = Measured(1, 1, 1, 0, 0, 0, 0, datetime.now(UTC))


def unit_vectors(count: int, seed: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Random directions."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def as_stored(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an index makes of vectors (N, D): rounded to float16, then of unit length again."""
    rounded = vectors.astype(np.float16).astype(np.float32)
    return rounded / np.linalg.norm(rounded, axis=1, keepdims=True)


def empty_index(kind: str, *, scanned_rows: int = 0) -> FaissIndex:
    """An index of this kind that holds nothing any more; a structure looks at all it has.

    `scanned_rows` of 0 lets the structure answer however few images are allowed.
    """
    index = FaissIndex(DIMENSION)
    if kind == "exact":
        return index
    sample = unit_vectors(700, 99)
    numbers = np.arange(FIRST_SAMPLE, FIRST_SAMPLE + 700, dtype=np.int64)
    index.put(numbers, sample)
    structure = Structure.trained(RECIPES[kind], sample)
    for block in index.blocks():
        structure.add(block)
    efforts = [Effort(k=10, probes=EVERYTHING, depth=EVERYTHING)]
    index.install(structure.tuned(efforts), NOTHING_MEASURED, scanned_rows)
    assert index.remove(numbers) == 700
    return index


def milvus_index(folder: Path) -> Iterator[VectorIndex]:
    """An empty collection of Milvus Lite, or a skipped test that says what is missing."""
    pytest.importorskip("milvus_lite", reason="needs the extra `milvus`")
    keeper = MilvusKeeper(str(folder / "milvus.db"))
    yield keeper.empty("2026-01 a/b", DIMENSION)
    keeper.close()


def numbered(*numbers: int) -> NDArray[np.int64]:
    """Image numbers (N,)."""
    return np.array(numbers, dtype=np.int64)


def assert_equals_brute_force(
    index: VectorIndex,
    expected: dict[int, NDArray[np.float32]],
    queries: NDArray[np.float32],
    k: int,
    allowed: set[int] | None = None,
) -> None:
    """Numbers and scores are those of brute force over `expected`; the order of ties is free."""
    selector = None if allowed is None else np.array(sorted(allowed), dtype=np.int64)
    found = index.search(queries, k, selector)
    numbers = np.array([n for n in expected if allowed is None or n in allowed], dtype=np.int64)
    vectors = np.array([expected[n] for n in numbers.tolist()]).reshape(-1, queries.shape[1])
    products = queries @ vectors.T
    width = min(k, len(numbers))
    assert found.numbers.shape == found.scores.shape == (len(queries), k)
    assert (found.numbers[:, width:] == -1).all()
    for row, query in enumerate(queries):
        shown = found.numbers[row, :width]
        assert np.isin(shown, numbers).all()
        assert len(np.unique(shown)) == width
        # Ties are compared by score: the order among equals is not promised.
        scores = found.scores[row, :width]
        np.testing.assert_allclose(scores, np.sort(products[row])[::-1][:width], atol=1e-5)
        own = [float(expected[n] @ query) for n in shown.tolist()]
        np.testing.assert_allclose(scores, own, atol=1e-5)
