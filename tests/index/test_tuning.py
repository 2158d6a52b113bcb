"""Tuning: the kind and the effort that measuring calls for, and none before there is enough."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from index.vectors.faiss_index import FaissIndex
from index.vectors.structure import Effort
from index.vectors.tuning import IndexGoals, TuningStopped, recall_now, tune
from tests.index.vector_indexes import (
    as_stored,
    assert_equals_brute_force,
    numbered,
)

COUNT = 3_000
DIMENSION = 16
# No exact search is this fast, so a structure has to be built.
AT_ONCE = 1e-9


def neighbourly(count: int, seed: int) -> NDArray[np.float32]:
    """Directions near a plane of four dimensions, as embeddings lie near fewer than they have."""
    random = np.random.default_rng(seed)
    plane = np.random.default_rng(7).normal(size=(4, DIMENSION))
    vectors = random.normal(size=(count, 4)) @ plane
    vectors += 0.3 * random.normal(size=(count, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


@pytest.fixture
def index() -> FaissIndex:
    """Three thousand vectors, exact."""
    filled = FaissIndex(DIMENSION)
    filled.put(np.arange(COUNT, dtype=np.int64), neighbourly(COUNT, 1))
    return filled


@pytest.mark.parametrize("kind", ["auto", "ivf", "hnsw"])
def test_a_structure_is_built_that_reaches_the_recall(index: FaissIndex, kind: str) -> None:
    """The recall that tuning reports holds for other queries of both kinds, and for itself."""
    goals = IndexGoals(0.95, AT_ONCE, kind, fewest_vectors=1_000)  # type: ignore[arg-type]
    texts = neighbourly(100, 2)
    tune(index, goals, texts)
    described = index.describe()
    assert described.kind == kind or (kind == "auto" and described.kind != "exact")
    assert described.measured is not None
    assert described.measured.recall_of_images >= 0.95
    assert described.measured.recall_of_texts >= 0.95
    assert described.measured.self_recall >= 0.95
    assert described.measured.size == COUNT
    queries = neighbourly(100, 3)
    found, true = index.search(queries, 10).numbers, index.exact(queries, 10).numbers
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), true.tolist(), strict=True)]
    assert np.mean(shares) >= 0.9
    assert recall_now(index, texts) >= 0.94


def test_exact_search_stays_while_it_is_fast_enough(index: FaissIndex) -> None:
    """A budget that exact search keeps is met by exact search."""
    tune(index, IndexGoals(0.99, 10.0, "auto", fewest_vectors=1_000), neighbourly(20, 2))
    described = index.describe()
    assert described.kind == "exact"
    assert described.measured is not None
    assert described.measured.exact_milliseconds > 0


@pytest.mark.parametrize("size", [0, 1, 2, 39, 1_000])
@pytest.mark.parametrize("kind", ["auto", "ivf", "hnsw"])
def test_small_stores_are_searched_exactly_whatever_is_asked(size: int, kind: str) -> None:
    """Too few vectors to learn from are no error: the search stays exact."""
    index = FaissIndex(DIMENSION)
    vectors = neighbourly(size, 4)
    index.put(np.arange(size, dtype=np.int64), vectors)
    goals = IndexGoals(0.99, AT_ONCE, kind)  # type: ignore[arg-type]
    tune(index, goals, np.empty((0, DIMENSION), dtype=np.float32))
    assert index.describe().kind == "exact"
    if size:
        expected = dict(enumerate(as_stored(vectors)))
        assert_equals_brute_force(index, expected, neighbourly(3, 5), 10)


def test_changes_after_tuning_are_found_and_forgotten(index: FaissIndex) -> None:
    """A tuned index takes additions, replacements and removals without a build."""
    tune(index, IndexGoals(0.99, AT_ONCE, "ivf", fewest_vectors=1_000), neighbourly(20, 2))
    fresh = neighbourly(3, 6)
    index.put(numbered(COUNT, COUNT + 1), fresh[:2])
    index.put(numbered(5), fresh[2:])
    assert index.search(fresh, 1).numbers[:, 0].tolist() == [COUNT, COUNT + 1, 5]
    index.remove(numbered(COUNT))
    assert COUNT not in index.search(fresh, 50).numbers
    assert len(index) == COUNT + 1
    assert index.describe().removed == 2


def test_a_recall_that_has_gone_is_noticed(index: FaissIndex) -> None:
    """Stored vectors that a structure no longer finds lower the recall that calls for a build."""
    texts = neighbourly(100, 2)
    tune(index, IndexGoals(0.95, AT_ONCE, "ivf", fewest_vectors=1_000), texts)
    assert index.structure is not None
    blind = index.structure.tuned([Effort(k=10, probes=1, depth=10)])
    measured = index.describe().measured
    assert measured is not None
    index.install(blind, measured, scanned_rows=0)
    assert recall_now(index, texts) < 0.9


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_a_filter_lowers_no_recall(index: FaissIndex, kind: str, share: float) -> None:
    """The best of a few allowed images lie farther away than the best of all, and are found."""
    tune(index, IndexGoals(0.95, AT_ONCE, kind, fewest_vectors=1_000), neighbourly(100, 2))  # type: ignore[arg-type]
    allowed = np.sort(np.random.default_rng(8).permutation(COUNT)[: int(share * COUNT)])
    queries = neighbourly(100, 9)
    assert index.describe().parameters["scanned_rows"] == 0, "the structure answers"
    found = index.search(queries, 10, allowed)
    best = np.sort(queries @ index.vectors(allowed).T, axis=1)[:, ::-1][:, :10]
    assert np.isin(found.numbers, allowed).all()
    assert (found.scores >= best[:, -1:] - 1e-5).mean() >= 0.93


def test_tuning_stops_when_asked(index: FaissIndex) -> None:
    """A service that ends does not wait for a build of minutes."""
    goals = IndexGoals(0.99, AT_ONCE, "ivf", fewest_vectors=1_000)
    with pytest.raises(TuningStopped):
        tune(index, goals, neighbourly(20, 2), is_stopped=lambda: True)


@pytest.mark.parametrize("first", ["faiss", "torch"])
def test_faiss_and_torch_work_in_one_process_in_either_order(first: str) -> None:
    """Both bring a runtime of threads; whichever is loaded first, both compute."""
    second = {"faiss": "torch", "torch": "faiss"}[first]
    script = (
        f"import {first}, {second}, numpy as np\n"
        "x = np.random.default_rng(0).normal(size=(2000, 32)).astype('float32')\n"
        "i = faiss.IndexFlatIP(32); i.add(x)\n"
        "t = torch.from_numpy(x); (t @ t.T).sum().item()\n"
        "assert (i.search(x, 1)[1][:, 0] >= 0).all()\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
