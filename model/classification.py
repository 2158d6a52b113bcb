"""Which of some labels a picture shows, whoever tells: words alone or a probe of examples.

Shape letters: N pictures, C labels, D embedding width.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Threshold = float | Literal["auto"]


class Classifier(Protocol):
    """What tells labels of pictures by their embeddings.

    `usual_threshold` is what `fits` is compared with when the caller leaves that to us.
    """

    usual_threshold: float

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns below."""
        ...

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C) cosines of unit rows (N, D) and what stands for each label."""
        ...

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, C): how likely each label is."""
        ...

    def fits(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N,) in [0, 1]: how sure it is that any of the labels fits at all."""
        ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """`score` is a cosine, `probability` is among the labels given unless the model says else."""

    label: str
    probability: float
    score: float


@dataclass(frozen=True, slots=True)
class Classified:
    """Every label of one picture, best first.

    `fit` is how sure it is that any of them fits, and `is_none` that it is not sure enough; both
    are None when nobody asked.
    """

    predictions: tuple[Prediction, ...]
    fit: float | None
    is_none: bool | None


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) logits to probabilities, each row summing to 1; no exponential overflows."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def classify(
    images: NDArray[np.float32], classifier: Classifier, *, threshold: Threshold | None = None
) -> list[Classified]:
    """What each of the unit rows (N, D) shows, in their order.

    With a `threshold`, a picture whose fit is below it shows none of the labels; "auto" is the
    classifier's usual one. Raises LabelError when the classifier can't tell that.
    """
    scores = classifier.scores(images)
    probabilities = classifier.probabilities(images)
    fits = None if threshold is None else classifier.fits(images)
    least = classifier.usual_threshold if threshold == "auto" else threshold
    found: list[Classified] = []
    for row in range(len(images)):
        # Probabilities that round to the same are told apart by the cosines they come from.
        order = np.lexsort((-scores[row], -probabilities[row]))
        predictions = tuple(
            Prediction(
                classifier.labels[place],
                float(probabilities[row, place]),
                float(scores[row, place]),
            )
            for place in order
        )
        fit = None if fits is None else float(fits[row])
        is_none = None if fit is None or least is None else fit < least
        found.append(Classified(predictions, fit, is_none))
    return found
