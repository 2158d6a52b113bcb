"""Classification with labels the model was never trained on.

Source: Radford et al., 2021, section 3.1.4 (prompt templates and ensembles in embedding space).
Whether a picture shows none of the labels is told by everyday sentences: of many, most describe it
badly, and a label that fits has to stand out from them. Unlike the cosine itself, by how much is
nearly the same for every model and every set of labels.

Shape letters: N pictures, C labels, T templates, B everyday sentences, D embedding width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.classification import softmax
from model.prompts import check_labels, prompts_of, templates_of


def label_embeddings(
    labels: Sequence[str],
    embed_texts: Callable[[list[str]], NDArray[np.float32]],
    templates: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """(C, D) unit rows: for each label the normalised mean over its prompts' unit vectors.

    `embed_texts` takes the C * T prompts and gives their unit rows. `templates` are what
    `templates_of` takes.

    Raises LabelError for no label, a blank one, the same label twice (blanks around it and its
    case do not count), no template, or one that is neither a template nor the name of a set.
    """
    meant = templates_of(templates)
    check_labels(labels)
    prompts = [prompt for label in labels for prompt in prompts_of(label, meant)]
    vectors = embed_texts(prompts).reshape(len(labels), len(meant), -1)  # (C, T, D)
    means = vectors.mean(axis=1)  # (C, D)
    unit: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShotClassifier:
    """Labels and their embeddings (C, D), as `label_embeddings` makes them.

    `logit_scale` and `logit_bias` are the model's own; the bias is None unless the model was
    trained by a sigmoid loss, whose probabilities are independent of each other. `background` are
    the embeddings (B, D) of everyday sentences, needed by `fits` alone.
    """

    labels: tuple[str, ...]
    vectors: NDArray[np.float32]
    logit_scale: float
    logit_bias: float | None = None
    background: NDArray[np.float32] | None = None

    # z = 1.64; the mean of what keeps 95 % of the pictures that do show one of the labels, over
    # four sets of labels (docs/classifying.md).
    usual_threshold = 0.95

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, C) cosines of unit rows (N, D) and the labels."""
        return images @ self.vectors.T

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, C): how likely each label is; each row sums to 1 unless the model has a bias."""
        logits = self.logit_scale * self.scores(images).astype(np.float64)
        if self.logit_bias is not None:
            # The sigmoid, written so that no exponential overflows.
            return np.asarray(0.5 * (1 + np.tanh(0.5 * (logits + self.logit_bias))))
        return softmax(logits)

    def fits(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N,): the share of everyday sentences that describe the picture worse than a label does.

        By the mean and the spread of their cosines, as if these were normally distributed.
        """
        assert self.background is not None, "whoever asks has given the sentences"
        others = (images @ self.background.T).astype(np.float64)  # (N, B)
        # Sentences that are all alike have no spread: then any better label stands out.
        spreads = np.maximum(others.std(axis=1), 1e-6)
        standing_out = (self.scores(images).max(axis=1) - others.mean(axis=1)) / spreads
        return np.array([0.5 * (1 + math.erf(z / math.sqrt(2))) for z in standing_out])
