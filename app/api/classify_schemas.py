"""Classification as it goes over the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from app.api.schemas import Id, Incoming, Text
from model import TEMPLATE_SETS

LABELS_ALLOWED = 1_000
TEMPLATES_ALLOWED = 100


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


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
    threshold: Literal["auto"] | Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = (
        Field(
            default=None,
            description="Below this `fit` the picture shows none of the labels; `auto` is the "
            "measured one.",
        )
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
