"""A FAISS structure that proposes rows: an inverted file or a graph over coarse codes.

What it proposes is scored again with the stored vectors, so its codes only have to be good enough
to bring the true neighbours among the proposals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, cast

import faiss
import numpy as np
from numpy.typing import NDArray

# Its stubs know neither all of its classes nor the keywords that its Python layer adds.
_faiss: Any = faiss

# With FAISS's own 40 a graph over texts' neighbours needs eight times the effort for one recall
# (100,000 vectors, recall@10 0.99: 768 candidates, against 96).
CONSTRUCTION = 100
# FAISS compares vectors with the lists' centroids one after the other up to 250 of 512 components,
# by a matrix product beyond. The product is faster from four vectors on: ten are assigned to 2,048
# lists in 0.5 ms instead of 1.1, and additions hold searches up for so long.
_faiss.cvar.distance_compute_blas_threshold = 2_048

Family: TypeAlias = Literal["ivf", "hnsw"]


@dataclass(frozen=True, slots=True)
class Effort:
    """What finds `k` neighbours.

    `probes` are the lists to visit, or the candidates that a graph search keeps; `depth` is how
    many of the proposed rows are scored exactly.
    """

    k: int
    probes: int
    depth: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a structure is made: FAISS's factory string, and vectors that it learns from."""

    family: Family
    factory: str
    training_vectors: int


class Structure:
    """Proposes rows for queries. Searches may run together, `add` alone."""

    def __init__(self, recipe: Recipe, faiss_index: Any, efforts: Sequence[Effort] = ()) -> None:
        self.recipe = recipe
        self.efforts = tuple(sorted(efforts, key=lambda effort: effort.k))
        self._index = faiss_index

    def __len__(self) -> int:
        return cast("int", self._index.ntotal)

    @classmethod
    def trained(cls, recipe: Recipe, sample: NDArray[np.float32]) -> Structure:
        """An empty structure that has learned from `sample` (N, D)."""
        made: Any = faiss.index_factory(sample.shape[1], recipe.factory, faiss.METRIC_INNER_PRODUCT)
        if recipe.family == "hnsw":
            made.hnsw.efConstruction = CONSTRUCTION
        made.train(sample)
        return cls(recipe, made)

    @classmethod
    def loaded(cls, recipe: Recipe, content: NDArray[np.uint8], efforts: Sequence[Effort]) -> Any:
        """What `dumped` gave. Raises ValueError when FAISS can't read it."""
        try:
            return cls(recipe, faiss.deserialize_index(content), efforts)
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from error

    def dumped(self) -> NDArray[np.uint8]:
        """The structure as bytes (N,), without the stored vectors."""
        return faiss.serialize_index(self._index)

    def tuned(self, efforts: Sequence[Effort]) -> Structure:
        """The same structure with these efforts."""
        return Structure(self.recipe, self._index, efforts)

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append vectors (N, D) as the next rows."""
        self._index.add(np.ascontiguousarray(vectors))

    @property
    def most_probes(self) -> int:
        """The effort beyond which nothing more can be looked at."""
        return cast("int", self._index.nlist if self.recipe.family == "ivf" else self._index.ntotal)

    def effort(self, k: int, share: float = 1.0) -> Effort:
        """What finds k neighbours among a share of the rows.

        They lie as far away as the k / share nearest of all rows do, so as many lists are visited
        or candidates kept as for those.
        """
        wide = self._tuned_for(math.ceil(k / share))
        # A graph search keeps at least as many candidates as it proposes.
        probes = wide.probes if self.recipe.family == "ivf" else max(wide.probes, wide.depth)
        return Effort(k, probes, self._tuned_for(k).depth)

    def _tuned_for(self, k: int) -> Effort:
        """What was tuned for k neighbours or a little more; in proportion beyond the largest."""
        for effort in self.efforts:
            if effort.k >= k:
                return effort
        largest = self.efforts[-1]
        factor = k / largest.k
        return Effort(k, round(largest.probes * factor), round(largest.depth * factor))

    def propose(
        self,
        queries: NDArray[np.float32],
        effort: Effort,
        selector: Any = None,
    ) -> NDArray[np.int64]:
        """Up to `effort.depth` rows for each query (N, D), as (N, depth) with -1 for none."""
        depth = min(effort.depth, max(1, len(self)))
        parameters: Any
        if self.recipe.family == "ivf":
            probes = min(effort.probes, self.most_probes)
            parameters = _faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        else:
            kept = max(effort.probes, depth)
            parameters = _faiss.SearchParametersHNSW(efSearch=kept, sel=selector)
        _, rows = self._index.search(queries, depth, params=parameters)
        return cast("NDArray[np.int64]", rows)

    def memory_bytes(self) -> int:
        """Bytes of codes, lists and links, without what allocators add."""
        if self.recipe.family == "ivf":
            index = self._index
            centroids = index.nlist * index.d * 4
            return cast("int", len(self) * (index.code_size + 8) + centroids)
        graph = self._index.hnsw
        links = graph.neighbors.size() * 4 + graph.offsets.size() * 8 + graph.levels.size() * 4
        codes = len(self) * self._index.storage.sa_code_size()
        return cast("int", codes + links)

    def parameters(self) -> dict[str, int | float | str]:
        """What to show: the factory string and the effort for ten neighbours."""
        effort = asdict(self.effort(10)) if self.efforts else {}
        return {"factory": self.recipe.factory, **effort}


@contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """OpenMP's threads of FAISS, for what the calling thread does in the block."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
