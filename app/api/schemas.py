"""What goes over the wire: the shapes of API.md as pydantic models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from index import COLLECTION_CHARACTERS, LIMIT_ALLOWED, PARTS_ALLOWED

TEXT_CHARACTERS = 10_000
WEIGHT_ALLOWED = 100.0
COLLECTIONS_ALLOWED = 100


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character U+0000 can't be stored or searched")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("half of a surrogate pair can't be stored or searched")
    return text


# The one rule for every text that comes in. After its other constraints: pydantic calls what is too
# long a text's characters only there, and items otherwise.
STORABLE = AfterValidator(_storable)
Text = Annotated[str, STORABLE]
Tag = Annotated[str, StringConstraints(max_length=100), STORABLE]
Id = Annotated[str, StringConstraints(max_length=100), STORABLE]
Limit = Annotated[int, Field(ge=1, le=LIMIT_ALLOWED)]
Cursor = Annotated[str, StringConstraints(max_length=2_000), STORABLE]
Score = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Collection = Annotated[
    str,
    StringConstraints(min_length=1, max_length=COLLECTION_CHARACTERS, strip_whitespace=True),
    STORABLE,
]
Collections = Annotated[
    tuple[Collection, ...],
    Query(
        max_length=COLLECTIONS_ALLOWED,
        description="Only these collections; repeat it for several.",
    ),
]


def _listed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # Here, so that an error points at the name itself and not into a list that nobody sent.
    if not 1 <= len(value.strip()) <= COLLECTION_CHARACTERS:
        raise ValueError(f"a name has 1 to {COLLECTION_CHARACTERS} characters")
    return [_storable(value)]


class Incoming(BaseModel):
    """A body that comes in: what it does not name is refused."""

    model_config = ConfigDict(extra="forbid")


class ImageUrls(BaseModel):
    """Where the image's bytes are, relative to the service's root."""

    file: str
    thumbnail: str


class ImageOut(BaseModel):
    """A stored image."""

    id: str
    sha256: str
    created: bool | None = Field(
        default=None, description="On upload: whether this upload made the image."
    )
    filename: str
    format: str
    width: int = Field(description="Pixels, upright.")
    height: int = Field(description="Pixels, upright.")
    bytes: int
    taken_at: datetime | None = Field(
        default=None,
        description="As the camera wrote it: local time, with an offset if it has one.",
    )
    tags: list[str]
    caption: str | None = None
    metadata: dict[str, Any]
    collection: str
    created_at: AwareDatetime
    urls: ImageUrls


class ImagePatch(Incoming):
    """A JSON merge patch (RFC 7396): what is absent stays, null removes."""

    tags: Annotated[list[Tag], Field(max_length=100)] | None = None
    caption: Annotated[str, StringConstraints(max_length=TEXT_CHARACTERS), STORABLE] | None = None
    metadata: dict[str, Any] | None = None


class ImageListOut(BaseModel):
    """A page of images, newest first."""

    items: list[ImageOut]
    next_cursor: str | None
    total: int


class ProblemOut(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


class BatchItemOut(BaseModel):
    """What became of one file of a batch."""

    filename: str
    status: Literal["created", "exists", "rejected"]
    image: ImageOut | None = None
    problem: dict[str, Any] | None = None


class BatchOut(BaseModel):
    """One item for each file, in the order sent."""

    items: list[BatchItemOut]


class QueryPartIn(Incoming):
    """One part of a query: just one of `text`, `image_id` and `image`."""

    text: Text | None = Field(
        default=None, description="A sentence; its length is checked by the model layer."
    )
    image_id: Id | None = None
    image: str | None = Field(default=None, description="A picture's bytes in base64.")
    weight: float = Field(default=1.0, ge=-WEIGHT_ALLOWED, le=WEIGHT_ALLOWED, allow_inf_nan=False)

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(value is not None for value in (self.text, self.image_id, self.image)) != 1:
            raise ValueError("give just one of text, image_id and image")
        return self


class SearchIn(Incoming):
    """A composed query."""

    query: list[QueryPartIn] = Field(min_length=1, max_length=PARTS_ALLOWED)
    limit: Limit = 50
    cursor: Cursor | None = None
    min_score: Score | None = None
    collection: Annotated[
        list[Collection],
        Field(max_length=COLLECTIONS_ALLOWED, description="Only these; or the name of one."),
        BeforeValidator(_listed),
    ] = []
    filter: dict[str, Any] | None = None
    group_duplicates: bool | None = None


class PictureSearchFields(Incoming):
    """The fields beside the file of `POST /v1/search/image`."""

    text: Text | None = None
    limit: Limit = 50
    cursor: Cursor | None = None
    min_score: Score | None = None
    collection: Annotated[list[Collection], Field(max_length=COLLECTIONS_ALLOWED)] = []
    group_duplicates: bool | None = None


class CopyOut(BaseModel):
    """A copy of a hit's picture and its own cosine to the query."""

    image: ImageOut
    score: float


class HitOut(BaseModel):
    """An image and its cosine to the query."""

    image: ImageOut
    score: float
    copies: list[CopyOut] = Field(
        default_factory=list, description="With `group_duplicates`: the same picture again."
    )


class TookOut(BaseModel):
    """Milliseconds of each step."""

    encode: float
    search: float
    fetch: float
    total: float


class SearchOut(BaseModel):
    """A page of hits, best first, ties by id."""

    hits: list[HitOut]
    next_cursor: str | None
    model_version: str
    warnings: list[str]
    took_ms: TookOut


class TextsIn(Incoming):
    """Texts to embed."""

    texts: list[Text] = Field(min_length=1, max_length=1_000)


class EmbeddingsOut(BaseModel):
    """Vectors of unit length, in the order sent."""

    embeddings: list[list[float]]
    dimension: int
    model_version: str
    warnings: list[str] = []


class ModelIn(Incoming):
    """A checkpoint to make a model version of."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=4_096), STORABLE] = Field(
        description="The name of a model that is shipped or of one on the hub that may be fetched, "
        "or a path below an allowed root."
    )
    architecture: Id | None = Field(
        default=None,
        description="What the weights do not tell, as ViT-B-32 (GELU) or ViT-B-32-quickgelu.",
    )
    image_size: int | None = Field(
        default=None,
        ge=1,
        le=4_096,
        description="Another side of the square input, in pixels; positions are interpolated.",
    )


class ModelOut(BaseModel):
    """A model version."""

    id: str
    architecture: str
    dimension: int
    fingerprint: str
    origin: str
    state: Literal["building", "ready", "live", "retired"]
    metrics: dict[str, Any]
    created_at: AwareDatetime
    promoted_at: AwareDatetime | None


class ModelListOut(BaseModel):
    """Every model version, newest first."""

    items: list[ModelOut]
