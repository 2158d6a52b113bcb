"""Probes as they go over the wire."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, Field

from app.api.schemas import Collection, Id, Incoming


class ProbeIn(Incoming):
    """What to train a probe on: the stored pairs whose texts are labels."""

    name: Id = Field(description="What to keep it as; a probe of this name is replaced.")
    shots: int | None = Field(
        default=None, ge=1, le=100_000, description="So many images of each label; default is all."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Another seed, other images.")
    collection: Collection | None = Field(
        default=None, description="Only pairs of images in this collection."
    )


class ProbeLabelOut(BaseModel):
    """A label that a probe knows, and from how many images."""

    label: str
    images: int


class ProbeOut(BaseModel):
    """A saved probe."""

    name: str
    fingerprint: str = Field(description="Of the model whose embeddings it was trained on.")
    is_usable: bool = Field(description="Whether that is the live model.")
    labels: list[ProbeLabelOut]
    accuracy: float | None = Field(description="Top-1 on held-out images, if there were any.")
    examples: int
    held_out: int
    tells_none_of_these: bool = Field(
        description="Whether a `threshold` can be put to it; it takes twenty held-out images."
    )
    details: dict[str, Any] = Field(description="How it was trained.")
    created_at: AwareDatetime


class ProbeListOut(BaseModel):
    """Every probe, by name."""

    items: list[ProbeOut]
