"""What goes over the wire about images that look alike."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from app.api.schemas import Id, ImageOut, Incoming

IMAGES_ALLOWED = 50

Grade = Literal["same", "similar"]
Ids = Annotated[list[Id], Field(max_length=IMAGES_ALLOWED)]


class NearDuplicateOut(BaseModel):
    """Two images of a group and what was measured: bits of 256 that differ, and the cosine."""

    image_ids: tuple[str, str]
    grade: Grade
    differing_bits: int | None
    cosine: float | None


class DuplicateGroupOut(BaseModel):
    """Images of which each looks like another; the oldest are shown first, at most fifty."""

    grade: Grade
    size: int
    images: list[ImageOut]
    pairs: list[NearDuplicateOut]


class DuplicateListOut(BaseModel):
    """A page of groups that nobody decided about."""

    items: list[DuplicateGroupOut]
    next_cursor: str | None
    total: int
    uncompared: int = Field(description="Images that `POST /v1/admin/find-duplicates` compares.")


class DecisionIn(Incoming):
    """Images to keep beside each other, and images to delete; none is both."""

    keep: Ids = Field(default_factory=list)
    delete: Ids = Field(default_factory=list)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.keep and not self.delete:
            raise ValueError("name images to keep, to delete, or both")
        if set(self.keep) & set(self.delete):
            raise ValueError("an image is kept or deleted, not both")
        return self


class DecisionOut(BaseModel):
    """How many twos are kept beside each other from now on, and how many images are gone."""

    kept: int
    deleted: int
