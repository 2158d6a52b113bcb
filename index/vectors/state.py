"""What a FAISS index is made of, as it is saved and restored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.vectors.base import Measured, Numbers, StoredVectors
from index.vectors.structure import Effort, Recipe


@dataclass(frozen=True, slots=True)
class Built:
    """A structure as bytes, and what tuning found."""

    recipe: Recipe
    efforts: tuple[Effort, ...]
    content: NDArray[np.uint8]
    measured: Measured | None
    scanned_rows: int


@dataclass(frozen=True, slots=True)
class State:
    """Rows of an index: `numbers` (N,), -1 where the image was removed, and `stored` (M, D).

    `scales` (M,) are what makes the stored vectors of unit length. M is N or more: what lies beyond
    is room, so that an index that takes these blocks over need not move them to grow.
    """

    numbers: Numbers
    stored: StoredVectors
    scales: NDArray[np.float32]
    built: Built | None = None
