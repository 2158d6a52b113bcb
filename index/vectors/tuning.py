"""Which kind of index, and how much effort a search takes: both by measuring the vectors at hand.

Exact search while it answers within the latency allowed. Beyond that the cheapest family that
reaches the asked recall within it, cheap being memory and time to build: an inverted file over
4-bit product codes (FAISS's fast scan), then a graph over 8-bit codes. If none is fast enough, the
fastest that reaches the recall; if none reaches it, the one that comes nearest.

Recall is measured on stored vectors and on texts apart, and both have to reach the goal: texts lie
elsewhere than images do, and need more effort.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import numpy as np
import structlog
from numpy.typing import NDArray

from index.vectors.base import NO_NUMBER, Measured, Vectors
from index.vectors.faiss_index import FaissIndex
from index.vectors.structure import Effort, Recipe, Structure, faiss_threads

log = structlog.get_logger()

Kind: TypeAlias = Literal["auto", "exact", "ivf", "hnsw"]

# Fewer vectors teach a structure nothing, and scanning them takes less than a millisecond.
FEWEST_VECTORS = 10_000
MEASURED_K = 10
# Efforts are tuned for these; a search takes that of the smallest k that is not below its own.
TUNED_K = (10, 30, 100)
QUERIES_OF_EACH_KIND = 200
SELF_QUERIES = 500
TIMED_QUERIES = 60
# How many rows are scored exactly, as multiples of k.
IVF_DEPTHS = (8, 16, 32, 64)
HNSW_DEPTHS = (2,)
# FAISS warns below 39 a list.
TRAINING_VECTORS_A_LIST = 64


@dataclass(frozen=True, slots=True)
class IndexGoals:
    """What an index is tuned for: recall@10 against exact search, one query's time, and its kind.

    `fewest_vectors` is the size from which anything but exact search is considered.
    """

    recall: float = 0.99
    latency_seconds: float = 0.005
    kind: Kind = "auto"
    fewest_vectors: int = FEWEST_VECTORS


@dataclass(frozen=True, slots=True)
class _Questions:
    """Queries (N, D) with their exact neighbours (N, K), K being the largest tuned k."""

    queries: Vectors
    truth: NDArray[np.int64]
    # The number of the query itself, which is no neighbour of its own; -1 for a text.
    own: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Candidate:
    structure: Structure
    recalls: tuple[float, ...]
    self_recall: float
    seconds: float
    build_seconds: float


class TuningStopped(Exception):
    """The tuning was asked to stop; the index is not to be used."""


def tune(
    index: FaissIndex,
    goals: IndexGoals,
    texts: Vectors,
    *,
    threads: int = 1,
    is_stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Choose and build what proposes rows in `index`, which nobody else uses yet.

    `texts` are queries (M, D) as people ask them. Takes seconds to minutes; `threads` of the
    processor are used for building.

    Raises TuningStopped soon after `is_stopped` says so.
    """
    began = time.monotonic()
    questions = _Asked(index, texts)
    exact_seconds = _median_seconds(lambda query: index.exact(query, MEASURED_K), questions.timed())
    rows_in_time = int(goals.latency_seconds / max(exact_seconds / max(1, len(index)), 1e-9))
    measured = Measured(
        recall_of_images=1.0,
        recall_of_texts=1.0,
        self_recall=1.0,
        milliseconds=1e3 * exact_seconds,
        exact_milliseconds=1e3 * exact_seconds,
        build_seconds=time.monotonic() - began,
        size=len(index),
        at=datetime.now(UTC),
    )
    families = _families(index, goals, is_exact_in_time=exact_seconds <= goals.latency_seconds)
    best: _Candidate | None = None
    for recipe in families:
        work = _Work(index, questions, goals, threads, is_stopped)
        candidate = work.candidate(recipe)
        log.info(
            "index_candidate",
            factory=recipe.factory,
            recalls=candidate.recalls,
            milliseconds=1e3 * candidate.seconds,
            build_seconds=candidate.build_seconds,
        )
        best = candidate if best is None else max(best, candidate, key=_merit(goals))
        if _reaches(candidate, goals) and candidate.seconds <= goals.latency_seconds:
            break
    if best is not None:
        image_recall, text_recall = best.recalls
        measured = replace(
            measured,
            recall_of_images=image_recall,
            recall_of_texts=text_recall,
            self_recall=best.self_recall,
            milliseconds=1e3 * best.seconds,
            build_seconds=best.build_seconds,
        )
    index.install(best.structure if best else None, measured, rows_in_time)


def recall_now(index: FaissIndex, texts: Vectors) -> float:
    """The lowest of what `Measured` has of recalls, with texts (M, D), measured anew."""
    asked = _Asked(index, texts, k=MEASURED_K)
    return min(*_recalls(index, asked, MEASURED_K), _self_recall(index))


class _Asked:
    """Stored vectors and texts as questions, with the exact answers."""

    def __init__(self, index: FaissIndex, texts: Vectors, k: int = TUNED_K[-1]) -> None:
        random = np.random.default_rng(0)
        numbers = index.numbers()
        chosen = random.permutation(numbers)[: min(QUERIES_OF_EACH_KIND, len(numbers))]
        some = random.permutation(len(texts))[:QUERIES_OF_EACH_KIND]
        none = np.full(len(some), NO_NUMBER, dtype=np.int64)
        self.images = _asked(index, index.vectors(chosen), chosen, k)
        self.texts = _asked(index, texts[some], none, k)

    def timed(self) -> Vectors:
        """Queries of both kinds, to be timed one by one."""
        half = TIMED_QUERIES // 2
        return np.concatenate([self.images.queries[:half], self.texts.queries[:half]])


def _asked(index: FaissIndex, queries: Vectors, own: NDArray[np.int64], k: int) -> _Questions:
    if len(queries) == 0:
        return _Questions(queries, np.empty((0, k), dtype=np.int64), own)
    return _Questions(queries, index.exact(queries, k).numbers, own)


def _families(index: FaissIndex, goals: IndexGoals, *, is_exact_in_time: bool) -> list[Recipe]:
    size = len(index)
    if goals.kind == "exact" or size < goals.fewest_vectors:
        return []
    if goals.kind == "auto" and is_exact_in_time:
        return []
    # Every query meets every list's centroid in float32, and with more lists that takes longer than
    # the codes, thirty times smaller, of longer ones.
    lists = 2 ** round(math.log2(2 * math.sqrt(size)))
    lists = min(lists, max(1, size // TRAINING_VECTORS_A_LIST))
    training = lists * TRAINING_VECTORS_A_LIST
    # Of the vectors, not of what is left beyond their centroid: the fast scan's tables have eight
    # bits, and with the lists' offsets in them the order of the nearest gets worse.
    codes = f"PQ{index.dimension // 4}x4fs" if index.dimension % 4 == 0 else "SQ8"
    recipes = [
        Recipe("ivf", f"IVF{lists},{codes}", training),
        Recipe("hnsw", "HNSW16,SQ8", min(size, 100_000)),
    ]
    return [recipe for recipe in recipes if goals.kind in {"auto", recipe.family}]


@dataclass(frozen=True, slots=True)
class _Work:
    """Building one family after the other over the same vectors, for the same goals."""

    index: FaissIndex
    questions: _Asked
    goals: IndexGoals
    threads: int
    is_stopped: Callable[[], bool]

    def candidate(self, recipe: Recipe) -> _Candidate:
        """The family built, with the least efforts that reach the recall."""
        index = self.index
        began = time.monotonic()
        with faiss_threads(self.threads):
            structure = Structure.trained(recipe, _sample(index, recipe.training_vectors))
            for block in index.blocks():
                self._check()
                structure.add(block)
        build_seconds = time.monotonic() - began
        found = [self._least_effort(structure, min(k, len(index))) for k in TUNED_K]
        tuned = structure.tuned([effort for effort, _ in found])
        index.install(tuned, _unmeasured(), 0)
        return _Candidate(
            structure=tuned,
            recalls=_recalls(index, self.questions, MEASURED_K),
            self_recall=_self_recall(index),
            seconds=found[0][1],
            build_seconds=build_seconds,
        )

    def _least_effort(self, structure: Structure, k: int) -> tuple[Effort, float]:
        """The effort that reaches the recall in the least time, and that time."""
        index = self.index
        ladder = list(_ladder(min(structure.most_probes, 8_192)))
        depths = IVF_DEPTHS if structure.recipe.family == "ivf" else HNSW_DEPTHS
        found: list[tuple[bool, float, Effort]] = []

        def reaches(probes: int, depth: int) -> bool:
            self._check()
            index.install(structure.tuned([Effort(k, probes, depth * k)]), _unmeasured(), 0)
            return min(_recalls(index, self.questions, k)) >= self.goals.recall

        for depth in depths:
            low, high = 0, len(ladder) - 1
            while low < high:
                middle = (low + high) // 2
                if reaches(ladder[middle], depth):
                    high = middle
                else:
                    low = middle + 1
            is_reached = reaches(ladder[low], depth)
            seconds = _median_seconds(lambda query: index.search(query, k), self.questions.timed())
            found.append((is_reached, seconds, Effort(k, ladder[low], depth * k)))
        reached = [(seconds, effort) for is_reached, seconds, effort in found if is_reached]
        if reached:
            seconds, effort = min(reached, key=lambda one: one[0])
            return effort, seconds
        # The deepest comes nearest.
        _, seconds, effort = found[-1]
        return effort, seconds

    def _check(self) -> None:
        if self.is_stopped():
            raise TuningStopped


def _recalls(index: FaissIndex, questions: _Asked, k: int) -> tuple[float, float]:
    return _recall(index, questions.images, k), _recall(index, questions.texts, k)


def _recall(index: FaissIndex, asked: _Questions, k: int) -> float:
    if len(asked.queries) == 0:
        return 1.0
    found = index.search(asked.queries, k).numbers
    shares = [
        len(_others(shown, own) & expected) / len(expected)
        for shown, true, own in zip(found, asked.truth[:, :k], asked.own, strict=True)
        if (expected := _others(true, own))
    ]
    return float(np.mean(shares)) if shares else 1.0


def _others(numbers: NDArray[np.int64], own: int) -> set[int]:
    return set(numbers.tolist()) - {own, NO_NUMBER}


def _self_recall(index: FaissIndex) -> float:
    """The share of stored vectors that find themselves, or another exactly as near."""
    numbers = np.random.default_rng(1).permutation(index.numbers())[:SELF_QUERIES]
    found = index.search(index.vectors(numbers), 1)
    is_found = (found.numbers[:, 0] == numbers) | (found.scores[:, 0] >= 1 - 1e-5)
    return float(is_found.mean()) if len(numbers) else 1.0


def _reaches(candidate: _Candidate, goals: IndexGoals) -> bool:
    return min(*candidate.recalls, candidate.self_recall) >= goals.recall


def _merit(goals: IndexGoals) -> Callable[[_Candidate], tuple[bool, float]]:
    def merit(candidate: _Candidate) -> tuple[bool, float]:
        if _reaches(candidate, goals):
            return True, -candidate.seconds
        return False, min(candidate.recalls)

    return merit


def _ladder(most: int) -> Iterator[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, … up to `most`."""
    step = 1
    while step < most:
        yield step
        if step > 1 and step * 3 // 2 < most:
            yield step * 3 // 2
        step *= 2
    yield most


def _sample(index: FaissIndex, count: int) -> Vectors:
    numbers = np.random.default_rng(2).permutation(index.numbers())[:count]
    return index.vectors(numbers)


def _median_seconds(ask: Callable[[Vectors], Any], queries: Iterable[Vectors]) -> float:
    took: list[float] = []
    with faiss_threads(1):
        for query in queries:
            began = time.perf_counter()
            ask(query[None])
            took.append(time.perf_counter() - began)
    return float(np.median(took)) if took else 0.0


def _unmeasured() -> Measured:
    return Measured(0, 0, 0, 0, 0, 0, 0, datetime.now(UTC))
