"""What every vector index does, whichever engine holds the vectors.

Shape letters: N queries or vectors, D components, k neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

NO_NUMBER = -1

Numbers: TypeAlias = NDArray[np.int64]
Vectors: TypeAlias = NDArray[np.float32]
# The bytes that SQL holds, as they are. Whoever reads them makes them of unit length first.
StoredVectors: TypeAlias = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What a search found, best first: `numbers` (N, k) with -1 for none, `scores` (N, k)."""

    numbers: Numbers
    scores: Vectors


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured when an index was tuned, against exact search over the same vectors.

    Recalls are shares of the ten nearest that were found: of stored vectors other than itself, of
    texts, and of stored vectors themselves. `milliseconds` is one query's median, by one thread.
    """

    recall_of_images: float
    recall_of_texts: float
    self_recall: float
    milliseconds: float
    exact_milliseconds: float
    build_seconds: float
    size: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Description:
    """What an index is. `removed` vectors still take room until the next build."""

    kind: str
    size: int
    removed: int
    memory_bytes: int
    parameters: Mapping[str, int | float | str] = field(default_factory=dict)
    measured: Measured | None = None


class VectorIndex(Protocol):
    """Unit vectors by image number. Thread-safe; a search sees each change wholly or not at all.

    Vectors are held as SQL holds them, in float16, and a score is the cosine of the query and the
    stored vector, the same to 1e-5 whichever implementation gives it.
    """

    @property
    def dimension(self) -> int:
        """Components of a vector."""

    def __len__(self) -> int:
        """How many vectors may be found."""

    def __contains__(self, number: int) -> bool:
        """Whether this image may be found."""

    def put(self, numbers: Numbers, vectors: Vectors | StoredVectors) -> None:
        """Add vectors (N, D) under their image numbers, replacing those there.

        float16 is taken as stored, bit for bit; float32 is rounded to it. Of two vectors for one
        number the later stays. Raises DimensionMismatch.
        """

    def remove(self, numbers: Numbers) -> int:
        """Forget images; gives how many were there. None of them is found from now on."""

    def search(self, queries: Vectors, k: int, allowed: Numbers | None = None) -> Neighbours:
        """The k nearest stored vectors of each query by inner product.

        `queries` is (N, D) with unit rows, so scores are cosines. `allowed` holds the only image
        numbers that may be found. Rows with fewer than k matches end with number -1; k are given
        wherever k match. The order of equal scores is not promised.

        Raises DimensionMismatch.
        """

    def vectors(self, numbers: Numbers) -> Vectors:
        """The stored vectors (N, D), of unit length, of these images; zeros for one not there."""

    def numbers(self) -> Numbers:
        """Every image number (N,), in no order."""

    def contents(self) -> tuple[Numbers, StoredVectors]:
        """Everything in one consistent state: numbers (N,) and vectors (N, D). Not to be written.

        May be a view of what answers queries, so that saving a large index takes no second copy.
        """

    def describe(self) -> Description:
        """Kind, parameters, what was measured."""
