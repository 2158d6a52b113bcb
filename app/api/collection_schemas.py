"""What goes over the wire about collections."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from app.api.schemas import STORABLE, TEXT_CHARACTERS, Collection, Incoming, Score

Description = Annotated[str, StringConstraints(max_length=TEXT_CHARACTERS), STORABLE]


class CollectionIn(Incoming):
    """The settings of a collection; what is absent has its default."""

    description: Description | None = None
    min_score: Score | None = Field(
        default=None,
        description="The least score of a hit, where this collection alone is searched.",
    )
    group_duplicates: bool = Field(
        default=False,
        description="Whether copies are stacked, where this collection alone is searched.",
    )
    accepts_uploads: bool = Field(default=True, description="Whether images can be added.")
    searched_by_default: bool = Field(
        default=True, description="Whether a search that names no collection looks through it."
    )


class CollectionPatch(Incoming):
    """A JSON merge patch (RFC 7396): what is absent stays, null is the default."""

    name: Collection | None = Field(default=None, description="A new name, which no other has.")
    description: Description | None = None
    min_score: Score | None = None
    group_duplicates: bool | None = None
    accepts_uploads: bool | None = None
    searched_by_default: bool | None = None


class CollectionOut(BaseModel):
    """A collection with its settings and what it holds."""

    name: str
    description: str | None
    min_score: float | None
    group_duplicates: bool
    accepts_uploads: bool
    searched_by_default: bool
    images: int
    bytes: int
    created_at: AwareDatetime


class CollectionListOut(BaseModel):
    """A page of collections, by name."""

    items: list[CollectionOut]
    next_cursor: str | None
    total: int
