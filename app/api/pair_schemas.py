"""What goes over the wire about pairs of image and text."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, model_validator

from app.api.schemas import STORABLE, Collection, Id, ImageUrls, Incoming

PAIRS_ALLOWED = 1_000

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{64}$"), STORABLE]


class PairIn(Incoming):
    """A stored image, by just one of `image_id` and `sha256`, with a text that describes it."""

    image_id: Id | None = None
    sha256: Digest | None = None
    text: Annotated[str, StringConstraints(max_length=10_000), STORABLE]

    @model_validator(mode="after")
    def _names_one_image(self) -> Self:
        if (self.image_id is None) == (self.sha256 is None):
            raise ValueError("give just one of image_id and sha256")
        return self


class PairsIn(Incoming):
    """Pairs to add."""

    pairs: list[PairIn] = Field(min_length=1, max_length=PAIRS_ALLOWED)


class PairImportFields(Incoming):
    """The fields beside the files of `POST /v1/pairs/import`."""

    collection: Collection = "default"
    format: Literal["tsv", "csv", "jsonl"] | None = None


class RefusedOut(BaseModel):
    """A line of the table, counted from 1, or an entry of the zip file that was not taken."""

    line: int | None
    entry: str | None
    reason: str


class PairsAddedOut(BaseModel):
    """What became of the lines; the first thousand refusals are listed, all are counted."""

    added: int
    existing: int = Field(description="Pairs that were there already.")
    images_added: int
    files_unused: int = Field(description="Good files of the zip file that no line names.")
    refused_total: int
    refused: list[RefusedOut]


class PairImageOut(BaseModel):
    """What is needed to show the image of a pair."""

    filename: str
    urls: ImageUrls


class PairOut(BaseModel):
    """A text of a stored image."""

    id: str
    image_id: str
    sha256: str
    text: str
    split: Literal["train", "validation"]
    created_at: AwareDatetime
    image: PairImageOut


class PairListOut(BaseModel):
    """A page of pairs, newest first."""

    items: list[PairOut]
    next_cursor: str | None
    total: int


class ExampleOut(BaseModel):
    """An image or a text that a finding is about."""

    image_id: str | None
    text: str | None


class FindingOut(BaseModel):
    """One thing that is wrong with the pairs."""

    code: Literal[
        "no_pairs",
        "too_few_pairs",
        "one_text",
        "texts_too_long",
        "images_missing",
        "no_validation_images",
        "no_training_images",
        "all_duplicates",
    ]
    level: Literal["error", "warning"]
    detail: str
    count: int
    examples: list[ExampleOut]


class PairCheckOut(BaseModel):
    """What the pairs are made of, and what is wrong with them, errors first."""

    pairs: int
    images: int
    texts: int = Field(description="Different ones.")
    train_images: int
    validation_images: int
    is_trainable: bool
    findings: list[FindingOut]
