"""One contract for every kind of vector index, against brute force, under every kind of change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.errors import DimensionMismatch
from index.vectors.base import VectorIndex
from index.vectors.faiss_index import FaissIndex
from tests.index.vector_indexes import (
    DIMENSION,
    as_stored,
    assert_equals_brute_force,
    empty_index,
    milvus_index,
    numbered,
    unit_vectors,
)

KINDS = ("exact", "ivf", "hnsw")


@pytest.fixture(params=[*KINDS, "milvus"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    """An empty index of each kind."""
    if request.param == "milvus":
        yield from milvus_index(tmp_path)
    else:
        yield empty_index(request.param)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_changes_always_equal_brute_force(index: VectorIndex, seed: int) -> None:
    """After any mix of additions, replacements and removals, numbers and scores are exact."""
    random = np.random.default_rng(seed)
    expected: dict[int, NDArray[np.float32]] = {}
    # Each change of the other process's index is a request.
    steps = 5_000 if isinstance(index, FaissIndex) else 400
    pool = unit_vectors(steps, seed)
    stored = as_stored(pool)
    queries = unit_vectors(8, seed + 100)
    for step in range(steps):
        action = random.random()
        if action < 0.55 or not expected:
            number = step + 10
        else:
            number = int(random.choice(list(expected)))
            if action >= 0.7:
                assert index.remove(numbered(number)) == 1
                assert number not in index
                del expected[number]
                continue
        index.put(numbered(number), pool[step : step + 1])
        expected[number] = stored[step]
        if step % 100 == 0:
            assert_equals_brute_force(index, expected, queries, 10)
            assert_equals_brute_force(index, expected, queries[:1], 10)
            some = set(random.choice(list(expected), size=max(1, len(expected) // 9)).tolist())
            assert_equals_brute_force(index, expected, queries[:3], 10, some | {-5, 10**12})
    assert len(index) == len(expected)
    assert set(index.numbers().tolist()) == set(expected)
    most = set(list(expected)[: int(0.8 * len(expected))])
    assert_equals_brute_force(index, expected, queries, 50, most)


@pytest.mark.parametrize("count", [1, 19, 20, 64])
def test_an_empty_index_has_no_hits_for_any_batch_size(index: VectorIndex, count: int) -> None:
    """Nothing is found in nothing, however many ask."""
    found = index.search(unit_vectors(count, 3), 7)
    assert found.numbers.shape == (count, 7)
    assert (found.numbers == -1).all()
    index.put(numbered(1), unit_vectors(1, 4))
    index.remove(numbered(1))
    assert (index.search(unit_vectors(count, 3), 7).numbers == -1).all()


def test_k_beyond_the_store_gives_every_vector_and_no_other(index: VectorIndex) -> None:
    """Asking for more than there is never invents an image."""
    index.put(np.arange(5, dtype=np.int64), unit_vectors(5, 6))
    found = index.search(unit_vectors(3, 7), 1_000)
    assert (np.sort(found.numbers[:, :5], axis=1) == np.arange(5)).all()
    assert (found.numbers[:, 5:] == -1).all()


def test_k_beyond_what_the_structure_proposes_gives_every_vector() -> None:
    """When few lists are visited and few rows proposed, k are found all the same."""
    for kind in ("ivf", "hnsw"):
        index = empty_index(kind)
        vectors = unit_vectors(300, 14)
        index.put(np.arange(300, dtype=np.int64), vectors)
        assert index.structure is not None
        effort = index.structure.effort(10)
        narrow = index.structure.tuned([type(effort)(k=10, probes=1, depth=10)])
        index.install(narrow, index.describe().measured, 0)  # type: ignore[arg-type]
        assert (index.search(unit_vectors(4, 15), 290).numbers >= 0).all()
        allowed = np.arange(20, dtype=np.int64)
        shown = index.search(unit_vectors(4, 15), 20, allowed).numbers
        assert (np.sort(shown, axis=1) == allowed).all()


@pytest.mark.parametrize("share", [0.0005, 0.001, 0.2, 0.3, 0.99])
@pytest.mark.parametrize("scanned_rows", [0, 10_000])
def test_only_allowed_images_are_found_whichever_way_is_taken(
    index: VectorIndex, scanned_rows: int, share: float
) -> None:
    """Selectors of one image and of nearly all, by a scan and through FAISS, are exact alike."""
    vectors = unit_vectors(2_000, 8)
    if isinstance(index, FaissIndex):
        index = empty_index(index.describe().kind, scanned_rows=scanned_rows)
    index.put(np.arange(2_000, dtype=np.int64), vectors)
    allowed = set(
        np.random.default_rng(9).permutation(2_000)[: max(1, int(share * 2_000))].tolist()
    )
    expected = dict(enumerate(as_stored(vectors)))
    assert_equals_brute_force(index, expected, unit_vectors(25, 10), 10, allowed)
    assert_equals_brute_force(index, expected, unit_vectors(2, 10), 10, allowed)


def test_the_last_of_two_vectors_for_one_number_stays(index: VectorIndex) -> None:
    """A number twice in one call is one image with the later vector."""
    vectors = unit_vectors(2, 11)
    index.put(numbered(4, 4), vectors)
    assert len(index) == 1
    assert_equals_brute_force(index, {4: as_stored(vectors)[1]}, vectors, 2)


def test_a_vector_of_another_model_is_refused(index: VectorIndex) -> None:
    """Vectors of two models are never mixed."""
    with pytest.raises(DimensionMismatch) as caught:
        index.put(numbered(1), unit_vectors(1, 12, DIMENSION + 1))
    assert (caught.value.expected, caught.value.actual) == (DIMENSION, DIMENSION + 1)
    assert len(index) == 0
    with pytest.raises(DimensionMismatch):
        index.search(unit_vectors(1, 12, DIMENSION + 1), 1)


def test_vectors_are_kept_as_they_are_stored(index: VectorIndex) -> None:
    """float16 goes in and comes out bit for bit, and `vectors` is the same of unit length."""
    stored = unit_vectors(40, 16).astype(np.float16)
    numbers = np.arange(100, 140, dtype=np.int64)
    index.put(numbers, stored)
    index.remove(numbered(117))
    kept, vectors = index.contents()
    order = np.argsort(kept)
    assert kept[order].tolist() == [n for n in numbers.tolist() if n != 117]
    assert (vectors[order] == np.delete(stored, 17, axis=0)).all()
    asked = index.vectors(numbered(139, 117, 100, 5, -1))
    wide = stored.astype(np.float32)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    np.testing.assert_array_equal(asked, [unit[39], 0 * unit[0], unit[0], 0 * unit[0], 0 * unit[0]])


def test_vectors_of_any_length_are_scored_as_unit_vectors(index: VectorIndex) -> None:
    """A score is a cosine, whatever the length that rounding or a caller left a vector with."""
    vectors = unit_vectors(50, 17)
    lengths = np.linspace(0.1, 10, 50, dtype=np.float32)[:, None]
    index.put(np.arange(50, dtype=np.int64), vectors * lengths)
    expected = dict(enumerate(as_stored(vectors * lengths)))
    assert_equals_brute_force(index, expected, unit_vectors(3, 18), 50)


def test_searches_beside_changes_never_see_a_wrong_vector(index: VectorIndex) -> None:
    """Eight threads search while two add and remove: every score is that of its own vector."""
    vectors = unit_vectors(1_400, 13)
    stored = as_stored(vectors)
    index.put(np.arange(600, dtype=np.int64), vectors[:600])
    stop = threading.Event()
    # Each change of the other process's index is a request.
    end = 1_400 if isinstance(index, FaissIndex) else 640

    def change(first: int) -> None:
        for number in range(first, end, 2):
            index.put(numbered(number), vectors[number : number + 1])
            index.remove(numbered(number - 600))

    def search(seed: int) -> None:
        queries = unit_vectors(7 if seed % 2 else 1, seed)
        while not stop.is_set():
            found = index.search(queries, 5)
            for row, query in enumerate(queries):
                numbers = found.numbers[row]
                assert (numbers >= 0).all()
                np.testing.assert_allclose(found.scores[row], stored[numbers] @ query, atol=1e-5)

    with ThreadPoolExecutor(10) as pool:
        searching = [pool.submit(search, 20 + seed) for seed in range(8)]
        changing = [pool.submit(change, first) for first in (600, 601)]
        try:
            for future in changing:
                future.result()
        finally:
            stop.set()
        for future in searching:
            future.result()
    assert len(index) == 600


def test_a_description_tells_what_waits_for_compaction() -> None:
    """A structure keeps the rows of removed images until the next build, and says so."""
    exact, structured = empty_index("exact"), empty_index("ivf")
    for index in (exact, structured):
        index.put(np.arange(30, dtype=np.int64), unit_vectors(30, 19))
        index.remove(np.arange(10, dtype=np.int64))
    assert exact.describe().kind == "exact"
    assert exact.describe().removed == 0
    described = structured.describe()
    assert (described.kind, described.size, described.removed) == ("ivf", 20, 710)
    assert described.parameters["factory"] == "IVF8,PQ12x4fs"
    assert described.memory_bytes > exact.describe().memory_bytes
