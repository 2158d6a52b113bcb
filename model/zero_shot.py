"""Classification with labels the model was never trained on.

Source: Radford et al., 2021, section 3.1.4 (prompt templates and ensembles in embedding space).

Shape letters: N pictures, C labels, T templates, D embedding width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import LabelError

PROMPT_TEMPLATES = (
    "A photo of a {label}.",
    "a picture of a {label}",
    "{label}",
    "a close-up photo of a {label}.",
    "a good photo of the {label}.",
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """`score` is the cosine of picture and label, `probability` is among the labels given."""

    label: str
    probability: float
    score: float


def label_embeddings(
    labels: Sequence[str],
    embed_texts: Callable[[list[str]], NDArray[np.float32]],
    templates: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """(C, D) unit rows: for each label the normalised mean over its prompts' unit vectors.

    `embed_texts` takes the C * T prompts and gives their unit rows.

    Raises LabelError for no label, a blank one, the same label twice (blanks around it and its
    case do not count), no template, or one without `{label}`.
    """
    templates = PROMPT_TEMPLATES if templates is None else tuple(templates)
    _check(labels, templates)
    prompts = [
        template.replace("{label}", label.strip()) for label in labels for template in templates
    ]
    vectors = embed_texts(prompts).reshape(len(labels), len(templates), -1)  # (C, T, D)
    means = vectors.mean(axis=1)  # (C, D)
    unit: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def classify(
    images: NDArray[np.float32],
    labels: Sequence[str],
    *,
    embed_texts: Callable[[list[str]], NDArray[np.float32]],
    logit_scale: float,
    templates: Sequence[str] | None = None,
) -> list[list[Prediction]]:
    """For each row of `images`, (N, D) unit vectors, every label with its probability, best first.

    `templates` defaults to `PROMPT_TEMPLATES`. Raises LabelError as `label_embeddings` does.
    """
    scores = images @ label_embeddings(labels, embed_texts, templates).T  # (N, C)
    logits = logit_scale * scores.astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return [
        [
            Prediction(labels[index], float(probability[index]), float(score[index]))
            for index in np.argsort(-score, kind="stable")
        ]
        for probability, score in zip(probabilities, scores, strict=True)
    ]


def _check(labels: Sequence[str], templates: Sequence[str]) -> None:
    if not labels:
        raise LabelError("Give at least one label.")
    if not templates:
        raise LabelError("Give at least one template, or none at all for the default ones.")
    seen: set[str] = set()
    for position, label in enumerate(labels):
        key = " ".join(label.split()).casefold()
        if not key:
            raise LabelError(f"Label {position + 1} is blank.")
        if key in seen:
            raise LabelError(f"The label {label.strip()!r} is given twice.")
        seen.add(key)
    for template in templates:
        if "{label}" not in template:
            raise LabelError(f"The template {template!r} has no place for the {{label}}.")
