"""What a model is judged by on held-out pairs, and how far it agrees with another on general ones.

Shape letters: P photos, M texts, Q queries, G images of a gallery, D embedding width.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.training.evaluation import Retrieval, accuracy, retrieval
from model.training.pairing import Pairing

_HITS = 10
# What a share of everyday hits is worth, in shares of held-out photos.
_AGREEMENT_WORTH = 0.05


@dataclass(frozen=True, slots=True)
class Measures:
    """Retrieval both ways; where the texts are labels also the share of photos named right.

    `labels` is the number of labels to choose from.
    """

    text_to_image: Retrieval
    image_to_text: Retrieval
    zero_shot_top_1: float | None
    labels: int | None

    @property
    def goal(self) -> float:
        """One figure in [0, 1] to choose by.

        Where texts are labels it is the share of photos named right, since any photo of a label
        answers it; else the mean recall of both directions.
        """
        if self.zero_shot_top_1 is not None:
            return self.zero_shot_top_1
        return (self.text_to_image.mean_recall + self.image_to_text.mean_recall) / 2

    def figures(self) -> dict[str, float]:
        """Flat figures by name, for a curve."""
        figures = {
            "recall_at_1": self.text_to_image.recall_at_1,
            "recall_at_5": self.text_to_image.recall_at_5,
            "recall_at_10": self.text_to_image.recall_at_10,
            "median_rank": self.text_to_image.median_rank,
            "image_to_text_recall_at_1": self.image_to_text.recall_at_1,
            "image_to_text_recall_at_5": self.image_to_text.recall_at_5,
            "image_to_text_recall_at_10": self.image_to_text.recall_at_10,
        }
        if self.zero_shot_top_1 is not None:
            figures["zero_shot_top_1"] = self.zero_shot_top_1
        return figures

    def __str__(self) -> str:
        forth, back = self.text_to_image, self.image_to_text
        shown = f"text to image {forth.recall_at_1:.3f}/{forth.recall_at_10:.3f}"
        shown += f", image to text {back.recall_at_1:.3f}/{back.recall_at_10:.3f}"
        return shown + (f", labels {self.zero_shot_top_1:.3f}" if self.labels else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`measures` on held-out pairs and `general` on general ones, where there are any.

    `agreement` is the share of everyday queries' first hits that the model compared with finds
    too; that model's own is 1.
    """

    measures: Measures | None
    agreement: float
    general: Retrieval | None = None

    def worth(self, step: int = 0) -> float:
        """The figure to choose by; without held-out pairs a later step is better.

        Agreement decides between what serves the held-out pairs about as well: while the heads go
        on learning it comes back, and a few photos more or less are noise.
        """
        if self.measures is None:
            return float(step)
        return self.measures.goal + _AGREEMENT_WORTH * self.agreement

    def figures(self) -> dict[str, float]:
        """Flat figures by name, for a curve."""
        figures = {"agreement": self.agreement}
        if self.general is not None:
            figures["general_recall_at_10"] = self.general.recall_at_10
        return figures | ({} if self.measures is None else self.measures.figures())

    def __str__(self) -> str:
        shown = "" if self.measures is None else f"{self.measures}, "
        return f"{shown}agreement {self.agreement:.3f}"


def measure(images: NDArray[np.float32], texts: NDArray[np.float32], pairing: Pairing) -> Measures:
    """The measures of (P, D) photos and (M, D) texts, unit rows, in the order of `pairing`."""
    top_1: float | None = None
    labels = pairing.labels()
    if labels is not None:
        rows, right = labels
        means = np.stack([texts[own].mean(axis=0) for own in rows])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        top_1 = accuracy(images, means, right)
    return Measures(
        text_to_image=retrieval(texts, images, pairing.owners()),
        image_to_text=retrieval(images, texts, pairing.rows),
        zero_shot_top_1=top_1,
        labels=None if labels is None else len(labels[0]),
    )


def agreement(
    queries: tuple[NDArray[np.float32], NDArray[np.float32]],
    gallery: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> float:
    """How many of a query's first ten hits two models share, on average, as a share of 1.

    Each pair holds the (Q, D) or (G, D) unit rows of the one model and of the other.
    """
    hits = min(_HITS, len(gallery[0]))
    first, second = (
        np.argpartition(-(texts @ images.T), hits - 1, axis=1)[:, :hits]
        for texts, images in zip(queries, gallery, strict=True)
    )
    shared = (first[:, :, None] == second[:, None, :]).any(axis=2)  # (Q, hits)
    return float(shared.mean())
