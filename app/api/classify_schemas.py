"""Classification as it goes over the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, WithJsonSchema

from app.api.schemas import Id, Incoming, Text
from app.classifying import threshold_of
from model import TEMPLATE_SETS, Threshold

LABELS_ALLOWED = 1_000
TEMPLATES_ALLOWED = 100


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


# Not a union of the two, whose error would point below the field.
ThresholdIn = Annotated[
    Threshold,
    # A form's fields are texts.
    PlainValidator(threshold_of),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "number", "minimum": 0, "maximum": 1}]}),
]


class ClassifyFields(Incoming):
    """The fields beside the file of `POST /v1/classify`; the labels are given or a probe's."""

    labels: list[Text] = Field(default_factory=list, max_length=LABELS_ALLOWED)
    templates: Annotated[
        list[Text] | None,
        BeforeValidator(_listed),
        Field(min_length=1, max_length=TEMPLATES_ALLOWED),
    ] = Field(
        default=None,
        description="Sentences with {label} in them, or names of sets of such: "
        f"{', '.join(TEMPLATE_SETS)}.",
    )
    probe: Id | None = Field(
        default=None, description="The name of a saved probe, instead of labels."
    )
    threshold: ThresholdIn | None = Field(
        default=None,
        description="Below this `fit` the picture shows none of the labels; `auto` is the "
        "measured one.",
    )
    image_id: Id | None = None


class PredictionOut(BaseModel):
    """A label with its probability and its cosine to the image."""

    label: str
    probability: float = Field(
        description="Among all labels, or of its own when the model was trained by a sigmoid loss."
    )
    score: float = Field(description="Of the label's words, or of a probe's mean example of it.")


class ClassifyOut(BaseModel):
    """Predictions, best first."""

    predictions: list[PredictionOut]
    model_version: str
    probe: str | None = None
    fit: float | None = Field(
        default=None, description="With a `threshold`: how sure it is that any label fits."
    )
    none_of_these: bool | None = Field(
        default=None, description="With a `threshold`: whether `fit` is below it."
    )
    warnings: list[str] = Field(description="Labels that the model reads in part only.")
