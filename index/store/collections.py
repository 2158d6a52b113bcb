"""Collections: name-spaces of images, each with settings of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, update
from sqlalchemy.orm import Session

from index.errors import NotFound
from index.store.schema import CollectionRow, ImageRow
from index.store.text_order import CodePoints

# Of the table and not of the mapped class, and built once: every search asks.
_COLLECTIONS = CollectionRow.__table__.c
_LEFT_OUT = select(_COLLECTIONS.name).where(_COLLECTIONS.searched_by_default.is_(False))


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """How a collection is used.

    `min_score` and `group_duplicates` are what a search has that names this collection alone and
    says nothing else. A collection that is not `searched_by_default` is left out of searches that
    name none.
    """

    description: str | None = None
    min_score: float | None = None
    group_duplicates: bool = False
    accepts_uploads: bool = True
    searched_by_default: bool = True


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection with what it holds."""

    name: str
    settings: CollectionSettings
    images: int
    size_bytes: int
    created_at: datetime


def get(session: Session, name: str) -> Collection:
    """The collection of this name. Raises NotFound."""
    return _collections(session, [_row(session, name)])[0]


def page(session: Session, *, after: str | None, limit: int) -> list[Collection]:
    """Up to `limit` collections whose names come after `after`, by code point."""
    statement = select(CollectionRow).order_by(CodePoints(CollectionRow.name)).limit(limit)
    if after is not None:
        statement = statement.where(CodePoints(CollectionRow.name) > after)
    return _collections(session, session.scalars(statement).all())


def count(session: Session) -> int:
    """How many collections there are."""
    return session.scalar(select(func.count()).select_from(CollectionRow)) or 0


def settings_of(session: Session, names: Iterable[str]) -> dict[str, CollectionSettings]:
    """The settings of those of `names` that exist."""
    rows = session.scalars(select(CollectionRow).where(CollectionRow.name.in_(set(names))))
    return {row.name: _settings(row) for row in rows}


def left_out(connection: Connection) -> list[str]:
    """The names of those that are searched only when they are named."""
    return sorted(connection.scalars(_LEFT_OUT))


def is_closed(session: Session, name: str) -> bool:
    """Whether a collection is there that takes no uploads."""
    statement = select(CollectionRow.accepts_uploads).where(CollectionRow.name == name)
    return session.scalar(statement) is False


def add(session: Session, names: Iterable[str]) -> None:
    """Make collections of these names, none of which is there, with default settings."""
    for name in sorted(names):
        put(session, name, CollectionSettings())


def put(session: Session, name: str, settings: CollectionSettings) -> bool:
    """Give a collection these settings, make it if it is not there; gives whether it was made."""
    row = session.get(CollectionRow, name)
    if row is not None:
        for field, value in asdict(settings).items():
            setattr(row, field, value)
        session.flush()
        return False
    session.add(CollectionRow(name=name, created_at=datetime.now(UTC), **asdict(settings)))
    session.flush()
    return True


def rename(session: Session, name: str, new_name: str) -> None:
    """Give a collection and its images a name that no other has."""
    session.execute(
        update(CollectionRow).where(CollectionRow.name == name).values(name=new_name),
        execution_options={"synchronize_session": False},
    )
    session.execute(
        update(ImageRow).where(ImageRow.collection == name).values(collection=new_name),
        execution_options={"synchronize_session": False},
    )
    session.expire_all()


def delete(session: Session, name: str) -> None:
    """Remove a collection that has no images. Raises NotFound."""
    session.delete(_row(session, name))
    session.flush()


def _row(session: Session, name: str) -> CollectionRow:
    row = session.get(CollectionRow, name)
    if row is None:
        raise NotFound("collection", name)
    return row


def _settings(row: CollectionRow) -> CollectionSettings:
    return CollectionSettings(
        description=row.description,
        min_score=row.min_score,
        group_duplicates=row.group_duplicates,
        accepts_uploads=row.accepts_uploads,
        searched_by_default=row.searched_by_default,
    )


def _collections(session: Session, rows: Sequence[CollectionRow]) -> list[Collection]:
    held = {
        name: (images, size_bytes)
        for name, images, size_bytes in session.execute(
            select(ImageRow.collection, func.count(), func.sum(ImageRow.size_bytes))
            .where(ImageRow.collection.in_([row.name for row in rows]))
            .group_by(ImageRow.collection)
        )
    }
    return [
        Collection(row.name, _settings(row), images, int(size_bytes), row.created_at)
        for row in rows
        for images, size_bytes in [held.get(row.name, (0, 0))]
    ]
