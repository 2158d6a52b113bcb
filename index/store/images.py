"""Images: what is known of each stored picture, without its embedding."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    exists,
    func,
    inspect,
    select,
    true,
)
from sqlalchemy import delete as delete_rows
from sqlalchemy.orm import Session, selectinload

from index.errors import NotFound
from index.store.schema import ImageRow, ImageTagRow

# SQLite takes at most 32,766 variables in one statement, PostgreSQL 65,535.
VARIABLES_PER_STATEMENT = 5_000

# Columns of the tables, not of the mapped classes, in statements that are built once: every search
# comes by here, and to have the mapper build them takes three times as long.
_IMAGES = ImageRow.__table__.c
_TAGS = ImageTagRow.__table__.c
_AMONG: BindParameter[Any] = bindparam("numbers", expanding=True)
_BY_NUMBER: Select[Any] = select(
    *(attribute.columns[0].label(attribute.key) for attribute in inspect(ImageRow).column_attrs),
    exists().where(_TAGS.image_number == _IMAGES.number).label("has_tags"),
).where(_IMAGES.number.in_(_AMONG))
_TAGS_BY_NUMBER = (
    select(_TAGS.image_number, _TAGS.tag)
    .where(_TAGS.image_number.in_(_AMONG))
    .order_by(_TAGS.position)
)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One stored image as the other layers see it. `number` orders images by arrival."""

    number: int
    id: str
    sha256: str
    collection: str
    filename: str
    format: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    taken_at: datetime | None
    tags: tuple[str, ...]
    caption: str | None
    metadata: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewImage:
    """What is written when an image arrives. `taken_at` is aware only if the photo names a zone."""

    sha256: str
    collection: str
    filename: str
    format: str
    media_type: str
    width: int
    height: int
    size_bytes: int
    taken_at: datetime | None = None
    tags: tuple[str, ...] = ()
    caption: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def add(session: Session, image: NewImage) -> ImageRecord:
    """The stored record of `image`, with a fresh id and number."""
    offset = image.taken_at.utcoffset() if image.taken_at else None
    row = ImageRow(
        id=secrets.token_hex(8),
        sha256=image.sha256,
        collection=image.collection,
        filename=image.filename,
        format=image.format,
        media_type=image.media_type,
        width=image.width,
        height=image.height,
        size_bytes=image.size_bytes,
        taken_at=image.taken_at.replace(tzinfo=None) if image.taken_at else None,
        taken_offset_minutes=None if offset is None else int(offset.total_seconds() // 60),
        caption=image.caption,
        details=image.metadata,
        created_at=datetime.now(UTC),
        tags=_tag_rows(image.tags),
    )
    session.add(row)
    session.flush()
    return _record(row, _tags(row))


def find_same(session: Session, collection: str, sha256: str) -> ImageRecord | None:
    """The image of `collection` with these very bytes, if it is stored."""
    row = session.scalar(
        _with_tags().where(ImageRow.collection == collection, ImageRow.sha256 == sha256)
    )
    return None if row is None else _record(row, _tags(row))


def get(session: Session, image_id: str) -> ImageRecord:
    """The image with this id. Raises NotFound."""
    row = _row(session, image_id)
    return _record(row, _tags(row))


def get_to_change(session: Session, image_id: str) -> ImageRecord:
    """As `get`, and nobody else changes it until this transaction ends. Raises NotFound."""
    row = _row(session, image_id, is_to_change=True)
    return _record(row, _tags(row))


def by_number(
    connection: Session | Connection,
    numbers: Sequence[int],
    where: ColumnElement[bool] | None = None,
) -> dict[int, ImageRecord]:
    """The images that still exist among `numbers`, and that `where` keeps."""
    found: dict[int, ImageRecord] = {}
    statement = _BY_NUMBER if where is None else _BY_NUMBER.where(where)
    for start in range(0, len(numbers), VARIABLES_PER_STATEMENT):
        chunk = list(numbers[start : start + VARIABLES_PER_STATEMENT])
        rows = connection.execute(statement, {"numbers": chunk}).all()
        tagged = [row.number for row in rows if row.has_tags]
        tags: dict[int, list[str]] = {}
        if tagged:
            for number, tag in connection.execute(_TAGS_BY_NUMBER, {"numbers": tagged}):
                tags.setdefault(number, []).append(tag)
        for row in rows:
            found[row.number] = _record(row, tags.get(row.number, ()))
    return found


def numbers_by_id(session: Session, ids: Sequence[str]) -> dict[str, int]:
    """The numbers of those of `ids` that exist."""
    found: dict[str, int] = {}
    for start in range(0, len(ids), VARIABLES_PER_STATEMENT):
        chunk = ids[start : start + VARIABLES_PER_STATEMENT]
        rows = session.execute(select(ImageRow.id, ImageRow.number).where(ImageRow.id.in_(chunk)))
        found.update((row.id, row.number) for row in rows)
    return found


def numbers_by_sha256(session: Session, digests: Sequence[str]) -> dict[str, int]:
    """The oldest image of those with each digest."""
    found: dict[str, int] = {}
    for start in range(0, len(digests), VARIABLES_PER_STATEMENT):
        chunk = digests[start : start + VARIABLES_PER_STATEMENT]
        rows = session.execute(
            select(ImageRow.sha256, func.min(ImageRow.number).label("number"))
            .where(ImageRow.sha256.in_(chunk))
            .group_by(ImageRow.sha256)
        )
        found.update((row.sha256, row.number) for row in rows)
    return found


def sample(session: Session, limit: int) -> list[str]:
    """The digests of up to `limit` images, spread over the library and the same each time."""
    statement = select(ImageRow.sha256).distinct().order_by(ImageRow.sha256).limit(limit)
    return list(session.scalars(statement))


def page(
    session: Session,
    *,
    where: ColumnElement[bool] | None = None,
    before_number: int | None = None,
    limit: int,
) -> list[ImageRecord]:
    """Up to `limit` images, newest first, of those older than `before_number`."""
    statement = _with_tags().order_by(ImageRow.number.desc()).limit(limit)
    if where is not None:
        statement = statement.where(where)
    if before_number is not None:
        statement = statement.where(ImageRow.number < before_number)
    return [_record(row, _tags(row)) for row in session.scalars(statement)]


def count(session: Session, where: ColumnElement[bool] | None = None) -> int:
    """How many images there are."""
    statement = select(func.count()).select_from(ImageRow)
    return session.scalar(statement.where(true() if where is None else where)) or 0


def numbers(session: Session, where: ColumnElement[bool]) -> list[int]:
    """The numbers of all images that `where` keeps, ascending."""
    return list(session.scalars(select(ImageRow.number).where(where).order_by(ImageRow.number)))


def update(
    session: Session,
    image_id: str,
    *,
    tags: tuple[str, ...],
    caption: str | None,
    metadata: dict[str, Any],
) -> ImageRecord:
    """The image with its owner's words replaced. Raises NotFound."""
    row = _row(session, image_id, is_to_change=True)
    row.caption = caption
    row.details = metadata
    kept = {tag.tag: tag for tag in row.tags}
    row.tags = [
        kept.get(tag) or ImageTagRow(tag=tag, position=position)
        for position, tag in enumerate(tags)
    ]
    for position, tag in enumerate(row.tags):
        tag.position = position
    session.flush()
    return _record(row, _tags(row))


def delete(session: Session, image_id: str) -> ImageRecord:
    """Remove the row with its tags and embeddings; gives what it was. Raises NotFound."""
    row = _row(session, image_id, is_to_change=True)
    record = _record(row, _tags(row))
    session.delete(row)
    session.flush()
    return record


def delete_many(
    session: Session, numbers: Sequence[int], where: ColumnElement[bool]
) -> dict[int, str]:
    """Remove those of `numbers` that `where` keeps, as `delete`; gives their digests."""
    found = session.execute(
        select(ImageRow.number, ImageRow.sha256)
        .where(ImageRow.number.in_(numbers), where)
        .order_by(ImageRow.number)
        .with_for_update()
    )
    digests = {row.number: row.sha256 for row in found}
    session.execute(delete_rows(ImageRow).where(ImageRow.number.in_(digests)))
    return digests


def lock(session: Session, where: ColumnElement[bool]) -> int:
    """Let nobody else change or delete what `where` keeps until this transaction ends.

    Gives how many that are.
    """
    statement = select(ImageRow.number).where(where).order_by(ImageRow.number).with_for_update()
    return len(session.execute(statement).all())


def hold(session: Session, numbers: Sequence[int]) -> list[int]:
    """Those of `numbers` that exist, which nobody can delete until this transaction ends."""
    return list(
        session.scalars(
            select(ImageRow.number)
            .where(ImageRow.number.in_(numbers))
            .order_by(ImageRow.number)
            .with_for_update(read=True, key_share=True)
        )
    )


def is_digest_used(session: Session, sha256: str) -> bool:
    """Whether any collection still has an image with these bytes."""
    return (
        session.scalar(select(ImageRow.number).where(ImageRow.sha256 == sha256).limit(1))
        is not None
    )


def all_digests(session: Session) -> list[str]:
    """Every digest that some image has, once, in order."""
    return list(session.scalars(select(ImageRow.sha256).distinct().order_by(ImageRow.sha256)))


def digests_used(session: Session, digests: Iterable[str]) -> set[str]:
    """Those of `digests` that some image has."""
    wanted = list(digests)
    used: set[str] = set()
    for start in range(0, len(wanted), VARIABLES_PER_STATEMENT):
        chunk = wanted[start : start + VARIABLES_PER_STATEMENT]
        used.update(session.scalars(select(ImageRow.sha256).where(ImageRow.sha256.in_(chunk))))
    return used


def _with_tags() -> Any:
    return select(ImageRow).options(selectinload(ImageRow.tags))


def _row(session: Session, image_id: str, *, is_to_change: bool = False) -> ImageRow:
    statement = _with_tags().where(ImageRow.id == image_id)
    row: ImageRow | None = session.scalar(
        statement.with_for_update() if is_to_change else statement
    )
    if row is None:
        raise NotFound("image", image_id)
    return row


def _tag_rows(tags: Sequence[str]) -> list[ImageTagRow]:
    return [ImageTagRow(tag=tag, position=position) for position, tag in enumerate(tags)]


def _tags(row: ImageRow) -> list[str]:
    return [tag.tag for tag in row.tags]


def _record(row: ImageRow | Row[Any], tags: Iterable[str]) -> ImageRecord:
    taken_at = row.taken_at
    if taken_at is not None and row.taken_offset_minutes is not None:
        taken_at = taken_at.replace(tzinfo=timezone(timedelta(minutes=row.taken_offset_minutes)))
    return ImageRecord(
        number=row.number,
        id=row.id,
        sha256=row.sha256,
        collection=row.collection,
        filename=row.filename,
        format=row.format,
        media_type=row.media_type,
        width=row.width,
        height=row.height,
        size_bytes=row.size_bytes,
        taken_at=taken_at,
        tags=tuple(tags),
        caption=row.caption,
        metadata=row.details,
        created_at=row.created_at,
    )
