"""Which labels pictures show: what the API and the command line ask, by words or by a probe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import FieldInvalid
from app.services import Services
from index import EmbeddingRejected, Generation
from model import (
    BARE_TEMPLATE,
    Classified,
    Classifier,
    Encoder,
    Threshold,
    ZeroShotClassifier,
    classify,
    general_queries,
    prompts_of,
    templates_of,
)

# Some ten seconds of the text tower on two cores.
PROMPTS_ALLOWED = 10_000


def threshold_of(value: object) -> Threshold:
    """The threshold that a number, its text, or "auto" means. Raises ValueError for all else."""
    if value == "auto":
        return "auto"
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise ValueError("give a number from 0 to 1, or auto")
    return number


@dataclass(frozen=True, slots=True)
class Question:
    """Labels in words, with templates or the names of sets of them, or the name of a probe.

    With a `threshold` it is also asked whether any of the labels fits at all. Raises FieldInvalid
    when both are given, or neither.
    """

    labels: Sequence[str] = ()
    templates: Sequence[str] | None = None
    probe: str | None = None
    threshold: Threshold | None = None

    def __post_init__(self) -> None:
        if self.probe is None and not self.labels:
            raise FieldInvalid("/labels", "give labels, or the name of a probe")
        if self.probe is not None and (self.labels or self.templates is not None):
            raise FieldInvalid("/probe", "a probe has labels of its own; give it, or labels")


class Asked:
    """One question to one generation of the model, for any number of pictures."""

    def __init__(self, services: Services, generation: Generation, question: Question) -> None:
        """Everything about the question alone is done here, and refused here.

        Raises FieldInvalid, LabelError, TextError, QueueFull, NotFound, ProbeOfAnotherModel,
        ProbeDamaged, DatabaseUnavailable.
        """
        self.model_version = generation.version.id
        self.question = question
        self._classifier = _classifier(services, generation, question)
        self.warnings = tuple(_warnings(generation.queue.encoder, question))

    def answers(self, images: NDArray[np.float32]) -> list[Classified]:
        """What each of the unit rows (N, D) shows.

        Raises LabelError when a probe can't tell what is none of its labels, EmbeddingRejected.
        """
        if not np.isfinite(images).all():
            raise EmbeddingRejected("it is not finite")
        return classify(images, self._classifier, threshold=self.question.threshold)


def _classifier(services: Services, generation: Generation, question: Question) -> Classifier:
    if question.probe is not None:
        return services.probes.load(question.probe, generation.version)
    templates = templates_of(question.templates)
    prompts = len(question.labels) * len(templates)
    if prompts > PROMPTS_ALLOWED:
        raise FieldInvalid(
            "/labels", f"labels times templates are {prompts:,}; at most {PROMPTS_ALLOWED:,}"
        )
    queue = generation.queue

    def embeddings(labels: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
        return services.remembered_labels.embeddings(
            labels, templates, fingerprint=queue.encoder.fingerprint, embed_texts=embed_texts
        )

    def embed_texts(texts: list[str]) -> NDArray[np.float32]:
        return np.stack([text.vector for text in queue.embed_texts(texts)])

    vectors = embeddings(question.labels, templates)
    if not np.isfinite(vectors).all():
        raise EmbeddingRejected("that of a label is not finite")
    asks_for_fit = question.threshold is not None
    return ZeroShotClassifier(
        labels=tuple(question.labels),
        vectors=vectors,
        logit_scale=queue.encoder.logit_scale,
        logit_bias=queue.encoder.logit_bias,
        background=embeddings(general_queries(), (BARE_TEMPLATE,)) if asks_for_fit else None,
    )


def _warnings(encoder: Encoder, question: Question) -> Iterator[str]:
    templates = templates_of(question.templates)
    for position, label in enumerate(question.labels):
        longest = max(prompts_of(label, templates), key=len)
        # A token is at least a byte of text, so nearly every label is passed by here.
        may_be_cut = len(longest.encode()) >= encoder.context_length
        if may_be_cut and any(encoder.are_truncated([longest])):
            yield f"Label {position} was cut to the model's context length in a template."
