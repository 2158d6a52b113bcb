"""The SQL schema, one history for SQLite and PostgreSQL (see `migrations/`).

`images`, `image_tags`, `embeddings` and the files they name are the truth; `changes` is the log
that every process's vector index follows; `serving` is the one pointer to the live model.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

# SQLite gives an alias of the rowid to INTEGER alone, never to BIGINT.
Number = BigInteger().with_variant(Integer, "sqlite")
Document = JSON().with_variant(JSONB, "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment in UTC; SQLite keeps no zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """The moment in UTC; naive values are a fault of ours."""
        if value is None:
            return None
        assert value.tzinfo is not None, "moments are aware"
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """The moment, aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Names for every constraint, so that a revision can drop any of them on both databases."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        dict[str, Any]: Document,
    }


class ImageRow(Base):
    """One stored image. `number` is the id inside the vector index and the order of arrival."""

    __tablename__ = "images"
    __table_args__ = (
        # The same bytes twice in one collection are one image.
        UniqueConstraint("collection", "sha256"),
        # Is the file still needed by another collection?
        Index(None, "sha256"),
        # Pages of one collection, newest first.
        Index(None, "collection", "number"),
        # How many images a collection has, and how many bytes, without a look at the rows.
        Index(None, "collection", "size_bytes"),
        # Filters and sorting by the date on the photo.
        Index(None, "taken_at"),
        # Without it SQLite gives the number of a deleted last row to the next, and an index that
        # has not yet heard of the deletion would take the new image for the old.
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    collection: Mapped[str] = mapped_column(String(100))
    filename: Mapped[str] = mapped_column(String(255))
    format: Mapped[str] = mapped_column(String(16))
    media_type: Mapped[str] = mapped_column(String(64))
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    # Local time as the camera wrote it, without a zone: "photos of 1 May" means the owner's day.
    taken_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=False))
    taken_offset_minutes: Mapped[int | None] = mapped_column(Integer)
    caption: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column("metadata", Document, default=dict)
    created_at: Mapped[datetime]

    tags: Mapped[list[ImageTagRow]] = relationship(
        cascade="all, delete-orphan", lazy="raise", order_by="ImageTagRow.position"
    )


class ImageTagRow(Base):
    """One tag of one image, in the order the owner gave."""

    __tablename__ = "image_tags"
    # Which images carry this tag?
    __table_args__ = (Index(None, "tag", "image_number"),)

    image_number: Mapped[int] = mapped_column(
        Number, ForeignKey("images.number", ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(String(100), primary_key=True)
    position: Mapped[int] = mapped_column(Integer)


class CollectionRow(Base):
    """A name-space of images, and how it is searched.

    Rows come, go and change under the log's lock alone, so that each collection with an image has
    one, and none that takes no uploads gets an image.
    """

    __tablename__ = "collections"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    description: Mapped[str | None] = mapped_column(Text)
    min_score: Mapped[float | None] = mapped_column(Double)
    group_duplicates: Mapped[bool]
    accepts_uploads: Mapped[bool]
    searched_by_default: Mapped[bool]
    created_at: Mapped[datetime]


class PictureHashRow(Base):
    """What an image looks like in a few bytes; derived from its file."""

    __tablename__ = "picture_hashes"

    image_number: Mapped[int] = mapped_column(
        Number, ForeignKey("images.number", ondelete="CASCADE"), primary_key=True
    )
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class NearDuplicateRow(Base):
    """Two images that look alike, the older first, and what their owner decided about them."""

    __tablename__ = "near_duplicates"
    __table_args__ = (
        # Whom does an image look like, when it is the younger of the two?
        Index(None, "second_number"),
        # Groups that wait for a decision.
        Index(None, "decision", "grade", "first_number"),
    )

    first_number: Mapped[int] = mapped_column(
        Number, ForeignKey("images.number", ondelete="CASCADE"), primary_key=True
    )
    second_number: Mapped[int] = mapped_column(
        Number, ForeignKey("images.number", ondelete="CASCADE"), primary_key=True
    )
    grade: Mapped[str] = mapped_column(String(16))
    differing_bits: Mapped[int | None] = mapped_column(Integer)
    cosine: Mapped[float | None] = mapped_column(Double)
    model_version: Mapped[str] = mapped_column(String(64))
    # Empty until it is made; it stays whatever a later comparison finds.
    decision: Mapped[str] = mapped_column(String(16), default="")


class ComparisonRow(Base):
    """How far the images have been compared by one model version, and by which thresholds."""

    __tablename__ = "comparisons"

    model_version: Mapped[str] = mapped_column(
        ForeignKey("model_versions.id", ondelete="CASCADE"), primary_key=True
    )
    last_number: Mapped[int] = mapped_column(Number)
    same_cosine: Mapped[float] = mapped_column(Double)
    similar_cosine: Mapped[float] = mapped_column(Double)
    # On how many images the thresholds were measured; 0 when they are those of the shipped model.
    measured_on: Mapped[int] = mapped_column(Integer)


class PairedImageRow(Base):
    """An image that has pairs, and the side of the split it is on, with all that look like it."""

    __tablename__ = "paired_images"
    # Two groups become one when a picture arrives that is like both.
    __table_args__ = (Index(None, "split_group"),)

    image_number: Mapped[int] = mapped_column(
        Number, ForeignKey("images.number", ondelete="CASCADE"), primary_key=True
    )
    # The number of the image that was first in the group; it may be gone.
    split_group: Mapped[int] = mapped_column(Number)
    side: Mapped[str] = mapped_column(String(16))


class PairRow(Base):
    """One text that describes one image."""

    __tablename__ = "pairs"
    __table_args__ = (
        # The same text of the same image twice is one pair.
        UniqueConstraint("image_number", "text_sha256"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    image_number: Mapped[int] = mapped_column(
        Number, ForeignKey("paired_images.image_number", ondelete="CASCADE")
    )
    text: Mapped[str] = mapped_column(Text)
    text_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class ModelVersionRow(Base):
    """One set of weights that has embedded, embeds, or will embed the images."""

    __tablename__ = "model_versions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Name of the file in the data folder's `models`.
    weights: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    architecture: Mapped[str] = mapped_column(String(64))
    dimension: Mapped[int] = mapped_column(Integer)
    origin: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    metrics: Mapped[dict[str, Any]] = mapped_column(Document, default=dict)
    created_at: Mapped[datetime]
    promoted_at: Mapped[datetime | None]


class ServingRow(Base):
    """The one row that names the live version; promotion is one update of it."""

    __tablename__ = "serving"

    only: Mapped[int] = mapped_column(Integer, primary_key=True, default=1, autoincrement=False)
    live_version: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    previous_version: Mapped[str | None] = mapped_column(ForeignKey("model_versions.id"))


class ProbeRow(Base):
    """A classifier of labels on the embeddings of one model's weights, as a safetensors file."""

    __tablename__ = "probes"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    details: Mapped[dict[str, Any]] = mapped_column(Document, default=dict)
    created_at: Mapped[datetime]


class EmbeddingRow(Base):
    """One image embedded by one version: little-endian float16 components, unit length."""

    __tablename__ = "embeddings"
    # Rebuilding an index reads one version in the order of the images.
    __table_args__ = (Index(None, "model_version", "image_number", unique=True),)

    image_number: Mapped[int] = mapped_column(
        Number, ForeignKey("images.number", ondelete="CASCADE"), primary_key=True
    )
    model_version: Mapped[str] = mapped_column(
        ForeignKey("model_versions.id", ondelete="CASCADE"), primary_key=True
    )
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class ChangeRow(Base):
    """One entry of the change log: an image that came or went, or a promotion."""

    __tablename__ = "changes"

    sequence: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    image_number: Mapped[int | None] = mapped_column(Number)
    model_version: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime]


class ChangeCounterRow(Base):
    """The last sequence number.

    Its row lock makes the order of commits the order of the numbers, which a database sequence
    does not: a reader that has seen 8 could otherwise meet 7 later.
    """

    __tablename__ = "change_counter"

    only: Mapped[int] = mapped_column(Integer, primary_key=True, default=1, autoincrement=False)
    value: Mapped[int] = mapped_column(Number)


class JobRow(Base):
    """Long work: what to do, how far it is, who does it and until when they hold it."""

    __tablename__ = "jobs"
    __table_args__ = (
        # The oldest job that nobody holds.
        Index(
            "ix_jobs_claimable",
            "number",
            sqlite_where=text("state IN ('queued', 'running')"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
        # At most one job of a turn runs, whatever two workers claim in the same moment.
        Index(
            "ix_jobs_running_turn",
            "turn",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    # Jobs of one turn wait for each other.
    turn: Mapped[str | None] = mapped_column(String(32))
    arguments: Mapped[dict[str, Any]] = mapped_column(Document, default=dict)
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(Document)
    done: Mapped[int] = mapped_column(BigInteger, default=0)
    total: Mapped[int | None] = mapped_column(BigInteger)
    unit: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(Document)
    problem: Mapped[dict[str, Any] | None] = mapped_column(Document)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    paused_at: Mapped[datetime | None]
    paused_by: Mapped[str | None] = mapped_column(String(100))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    leased_by: Mapped[str | None] = mapped_column(String(64))
    lease_expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class JobRecordRow(Base):
    """One entry of a job's log: a point of a curve, say."""

    __tablename__ = "job_records"
    __table_args__ = (
        # Those of one job that a follower has not seen.
        Index(None, "job_number", "number"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    job_number: Mapped[int] = mapped_column(Number, ForeignKey("jobs.number", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]] = mapped_column(Document)
    at: Mapped[datetime]


class ReindexClaimRow(Base):
    """A range of images that one worker embeds, or, with no numbers, a reindex that runs."""

    __tablename__ = "reindex_claims"
    __table_args__ = (
        # What is held of one version.
        Index(None, "model_version", "is_done"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=True)
    model_version: Mapped[str] = mapped_column(ForeignKey("model_versions.id", ondelete="CASCADE"))
    worker: Mapped[str] = mapped_column(String(64))
    first_number: Mapped[int] = mapped_column(Number)
    last_number: Mapped[int] = mapped_column(Number)
    expires_at: Mapped[datetime]
    is_done: Mapped[bool]
    embedded: Mapped[int] = mapped_column(Integer)
    copied: Mapped[int] = mapped_column(Integer)
