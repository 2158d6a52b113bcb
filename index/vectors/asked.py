"""The last query vectors, kept in memory so that an index is tuned for what people ask."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from numpy.typing import NDArray

QUERIES_KEPT = 512


class AskedVectors:
    """The last query vectors (N, D) of one model version. Thread-safe."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._vectors: deque[NDArray[np.float32]] = deque(maxlen=QUERIES_KEPT)
        self._lock = threading.Lock()

    def add(self, vector: NDArray[np.float32]) -> None:
        """Remember one (D,), and forget the oldest beyond the bound."""
        with self._lock:
            self._vectors.append(vector)

    def all(self) -> NDArray[np.float32]:
        """Those remembered, (N, D), oldest first."""
        with self._lock:
            return np.array(self._vectors, dtype=np.float32).reshape(-1, self._dimension)
