"""How well a model finds things: recall in both directions, median rank, zero-shot accuracy.

Shape letters: N images, M texts, C labels, D embedding width. All vectors are unit rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CUTOFFS = (1, 5, 10)
# A block of scores stays in the tens of megabytes for any gallery that fits this machine.
_QUERIES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Recall at 1, 5 and 10 in [0, 1] and the median rank, which is 1 at best."""

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float

    @property
    def mean_recall(self) -> float:
        """The mean of the three recalls."""
        return (self.recall_at_1 + self.recall_at_5 + self.recall_at_10) / 3


def text_to_image(
    images: NDArray[np.float32], texts: NDArray[np.float32], owners: NDArray[np.int64]
) -> Retrieval:
    """Each text of (M, D) ranks the (N, D) images; right is the image `owners` (M,) names."""
    scores = texts @ images.T  # (M, N)
    right = scores[np.arange(len(texts)), owners]  # (M,)
    return _retrieval(1 + (scores > right[:, None]).sum(axis=1))


def image_to_text(
    images: NDArray[np.float32], texts: NDArray[np.float32], owners: NDArray[np.int64]
) -> Retrieval:
    """Each image of (N, D) ranks the (M, D) texts; right is any of its own, by `owners` (M,)."""
    scores = images @ texts.T  # (N, M)
    is_own = owners[None, :] == np.arange(len(images))[:, None]
    best = np.where(is_own, scores, -np.inf).max(axis=1)  # (N,)
    return _retrieval(1 + (scores > best[:, None]).sum(axis=1))


def retrieval(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], right: Sequence[Sequence[int]]
) -> Retrieval:
    """Each query of (N, D) ranks the (M, D) gallery; right is any row that `right` lists for it.

    Every query has at least one right answer; a text of several images has them all.
    """
    ranks = []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        scores = queries[start : start + _QUERIES_AT_ONCE] @ gallery.T  # (Q, M)
        own = right[start : start + _QUERIES_AT_ONCE]
        best = np.array([row[list(rows)].max() for row, rows in zip(scores, own, strict=True)])
        ranks.append(1 + (scores > best[:, None]).sum(axis=1))
    return _retrieval(np.concatenate(ranks))


def accuracy(
    images: NDArray[np.float32], labels: NDArray[np.float32], right: NDArray[np.int64]
) -> float:
    """The share of images, (N, D), whose nearest label, of (C, D), is the one in `right` (N,)."""
    return float(((images @ labels.T).argmax(axis=1) == right).mean())


def _retrieval(ranks: NDArray[np.int64]) -> Retrieval:
    first, fifth, tenth = (float((ranks <= cutoff).mean()) for cutoff in _CUTOFFS)
    return Retrieval(first, fifth, tenth, float(np.median(ranks)))
