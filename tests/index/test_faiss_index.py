"""The exact index against brute force, under every sequence of changes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from index.errors import DimensionMismatch
from index.vectors.faiss_index import FaissIndex

DIMENSION = 24


def unit_vectors(count: int, seed: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Random directions."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def assert_equals_brute_force(
    index: FaissIndex,
    expected: dict[int, NDArray[np.float32]],
    queries: NDArray[np.float32],
    k: int,
    allowed: set[int] | None = None,
) -> None:
    """Numbers and scores are those of brute force; the order of ties is free."""
    selector = None if allowed is None else np.array(sorted(allowed), dtype=np.int64)
    found = index.search(queries, k, selector)
    numbers = [n for n in expected if allowed is None or n in allowed]
    for row, query in enumerate(queries):
        best = sorted((float(expected[n] @ query) for n in numbers), reverse=True)[:k]
        shown = found.numbers[row][found.numbers[row] >= 0].tolist()
        assert len(shown) == len(set(shown)) == min(k, len(numbers))
        assert set(shown) <= set(numbers)
        # Ties are compared by score: the order among equals is not promised.
        scores = found.scores[row][: len(shown)]
        np.testing.assert_allclose(scores, best, atol=1e-5)
        np.testing.assert_allclose(scores, [expected[n] @ query for n in shown], atol=1e-5)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_changes_always_equal_brute_force(seed: int) -> None:
    """After any mix of additions, replacements and removals, numbers and scores are exact."""
    random = np.random.default_rng(seed)
    index = FaissIndex(DIMENSION)
    expected: dict[int, NDArray[np.float32]] = {}
    pool = unit_vectors(5_000, seed)
    queries = unit_vectors(5, seed + 100)
    for step in range(5_000):
        action = random.random()
        if action < 0.55 or not expected:
            number = step + 10
        elif action < 0.7:
            number = int(random.choice(list(expected)))
        else:
            number = int(random.choice(list(expected)))
            assert index.remove(number)
            del expected[number]
            continue
        index.put(np.array([number], dtype=np.int64), pool[step : step + 1])
        expected[number] = pool[step]
        if step % 250 == 0:
            assert_equals_brute_force(index, expected, queries, 10)
            some = set(random.choice(list(expected), size=max(1, len(expected) // 9)).tolist())
            assert_equals_brute_force(index, expected, queries, 10, some | {-5, 10**12})
    assert len(index) == len(expected)
    most = set(list(expected)[: int(0.8 * len(expected))])
    assert_equals_brute_force(index, expected, queries, 50, most)


@pytest.mark.parametrize("count", [1, 19, 20, 64])
def test_an_empty_index_has_no_hits_for_any_batch_size(count: int) -> None:
    """Nothing is found in nothing, however many ask."""
    index = FaissIndex(DIMENSION)
    found = index.search(unit_vectors(count, 3), 7)
    assert found.numbers.shape == (count, 7)
    assert (found.numbers == -1).all()
    index.put(np.array([1], dtype=np.int64), unit_vectors(1, 4))
    index.remove(1)
    assert (index.search(unit_vectors(count, 3), 7).numbers == -1).all()


def test_k_beyond_the_store_gives_every_vector_and_no_other() -> None:
    """Asking for more than there is never invents an image."""
    index = FaissIndex(DIMENSION)
    index.put(np.arange(5, dtype=np.int64), unit_vectors(5, 6))
    found = index.search(unit_vectors(3, 7), 1_000)
    assert (np.sort(found.numbers[:, :5], axis=1) == np.arange(5)).all()
    assert (found.numbers[:, 5:] == -1).all()


@pytest.mark.parametrize("share", [0.001, 0.2, 0.3, 0.99])
def test_only_allowed_images_are_found_whichever_way_is_taken(share: float) -> None:
    """Narrow and wide selectors, which take different paths, are exact alike."""
    vectors = unit_vectors(2_000, 8)
    index = FaissIndex(DIMENSION)
    index.put(np.arange(2_000, dtype=np.int64), vectors)
    allowed = set(
        np.random.default_rng(9).permutation(2_000)[: max(1, int(share * 2_000))].tolist()
    )
    assert_equals_brute_force(index, dict(enumerate(vectors)), unit_vectors(25, 10), 10, allowed)


def test_the_last_of_two_vectors_for_one_number_stays() -> None:
    """A number twice in one call is one image with the later vector."""
    vectors = unit_vectors(2, 11)
    index = FaissIndex(DIMENSION)
    index.put(np.array([4, 4], dtype=np.int64), vectors)
    assert len(index) == 1
    assert_equals_brute_force(index, {4: vectors[1]}, vectors, 2)


def test_a_vector_of_another_model_is_refused() -> None:
    """Vectors of two models are never mixed."""
    index = FaissIndex(DIMENSION)
    with pytest.raises(DimensionMismatch) as caught:
        index.put(np.array([1], dtype=np.int64), unit_vectors(1, 12, DIMENSION + 1))
    assert (caught.value.expected, caught.value.actual) == (DIMENSION, DIMENSION + 1)
    assert len(index) == 0


def test_searches_beside_changes_never_see_a_wrong_vector() -> None:
    """Eight threads search while two add and remove: every score is that of its own vector."""
    vectors = unit_vectors(3_000, 13)
    index = FaissIndex(DIMENSION)
    index.put(np.arange(1_000, dtype=np.int64), vectors[:1_000])
    stop = threading.Event()

    def change(first: int) -> None:
        for number in range(first, 3_000, 2):
            index.put(np.array([number], dtype=np.int64), vectors[number : number + 1])
            index.remove(number - 1_000)
        stop.set()

    def search(seed: int) -> int:
        queries = unit_vectors(4, seed)
        searches = 0
        while not stop.is_set():
            found = index.search(queries, 5)
            for row, query in enumerate(queries):
                numbers = found.numbers[row]
                assert (numbers >= 0).all()
                np.testing.assert_allclose(found.scores[row], vectors[numbers] @ query, atol=1e-5)
            searches += 1
        return searches

    with ThreadPoolExecutor(10) as pool:
        changing = [pool.submit(change, first) for first in (1_000, 1_001)]
        searching = [pool.submit(search, 20 + seed) for seed in range(8)]
        for future in changing:
            future.result()
        assert all(future.result() >= 0 for future in searching)
    assert len(index) == 1_000
