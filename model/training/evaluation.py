"""How well a model finds things: recall in both directions, median rank, zero-shot accuracy.

Shape letters: N images, M texts, C labels, D embedding width. All vectors are unit rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CUTOFFS = (1, 5, 10)


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


def accuracy(
    images: NDArray[np.float32], labels: NDArray[np.float32], right: NDArray[np.int64]
) -> float:
    """The share of images, (N, D), whose nearest label, of (C, D), is the one in `right` (N,)."""
    return float(((images @ labels.T).argmax(axis=1) == right).mean())


def _retrieval(ranks: NDArray[np.int64]) -> Retrieval:
    first, fifth, tenth = (float((ranks <= cutoff).mean()) for cutoff in _CUTOFFS)
    return Retrieval(first, fifth, tenth, float(np.median(ranks)))
