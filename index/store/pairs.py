"""Pairs: an image with a text that describes it, and the side of the split the image is on."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, and_, func, insert, select, true, update
from sqlalchemy import delete as delete_rows
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from index.errors import NotFound
from index.store.images import VARIABLES_PER_STATEMENT
from index.store.schema import ImageRow, PairedImageRow, PairRow

Side = Literal["train", "validation"]

ROWS_PER_READ = 4_096


@dataclass(frozen=True, slots=True)
class Pair:
    """One text of one image. `number` orders pairs by arrival."""

    number: int
    id: str
    image_number: int
    image_id: str
    sha256: str
    filename: str
    collection: str
    text: str
    side: Side
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Placed:
    """An image with pairs: its group of near-duplicates, and the side that all of them are on."""

    image_number: int
    group: int
    side: Side


def add(session: Session, pairs: Sequence[tuple[int, str]]) -> int:
    """Write the (image number, text) that are not there yet; gives how many were new.

    The images have been placed. A text is compared by its digest: an index takes no long texts.
    """
    now = datetime.now(UTC)
    rows = [
        {
            "id": secrets.token_hex(8),
            "image_number": number,
            "text": text,
            "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "created_at": now,
        }
        for number, text in pairs
    ]
    if not rows:
        return 0
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement: Any = dialect.insert(PairRow).on_conflict_do_nothing(
        index_elements=["image_number", "text_sha256"]
    )
    return len(session.execute(statement.returning(PairRow.number), rows).all())


def page(
    session: Session,
    *,
    where: ColumnElement[bool] | None = None,
    before_number: int | None = None,
    limit: int,
) -> list[Pair]:
    """Up to `limit` pairs, newest first, of those older than `before_number`."""
    statement = _joined().order_by(PairRow.number.desc()).limit(limit)
    if where is not None:
        statement = statement.where(where)
    if before_number is not None:
        statement = statement.where(PairRow.number < before_number)
    return [_pair(row) for row in session.execute(statement)]


def stream(session: Session) -> Iterator[list[Pair]]:
    """Every pair in chunks, by image in the order of arrival, the texts of one in theirs."""
    last = (-1, -1)
    while True:
        image, number = last
        rows = session.execute(
            _joined()
            .where(
                (PairRow.image_number > image)
                | and_(PairRow.image_number == image, PairRow.number > number)
            )
            .order_by(PairRow.image_number, PairRow.number)
            .limit(ROWS_PER_READ)
        ).all()
        if not rows:
            return
        chunk = [_pair(row) for row in rows]
        last = (chunk[-1].image_number, chunk[-1].number)
        yield chunk


def count(session: Session, where: ColumnElement[bool] | None = None) -> int:
    """How many pairs there are."""
    statement = (
        select(func.count())
        .select_from(PairRow)
        .join(PairedImageRow, PairedImageRow.image_number == PairRow.image_number)
        .join(ImageRow, ImageRow.number == PairRow.image_number)
    )
    return session.scalar(statement.where(true() if where is None else where)) or 0


def of_image(image_id: str) -> ColumnElement[bool]:
    """Keeps the pairs of one image."""
    return ImageRow.id == image_id


def on_side(side: Side) -> ColumnElement[bool]:
    """Keeps the pairs whose image is on one side of the split."""
    return PairedImageRow.side == side


def delete(session: Session, pair_id: str) -> None:
    """Remove a pair; an image that has no other is no longer on any side. Raises NotFound."""
    number = session.scalar(
        delete_rows(PairRow).where(PairRow.id == pair_id).returning(PairRow.image_number)
    )
    if number is None:
        raise NotFound("pair", pair_id)
    others = select(PairRow.number).where(PairRow.image_number == number)
    session.execute(
        delete_rows(PairedImageRow).where(PairedImageRow.image_number == number, ~others.exists())
    )


def placed(session: Session) -> list[Placed]:
    """Every image that has pairs."""
    rows = session.execute(
        select(
            PairedImageRow.image_number, PairedImageRow.split_group, PairedImageRow.side
        ).order_by(PairedImageRow.image_number)
    )
    return [Placed(row.image_number, row.split_group, cast("Side", row.side)) for row in rows]


def unplaced(session: Session, numbers: Sequence[int]) -> list[int]:
    """Those of `numbers` that have no side yet, ascending."""
    known: set[int] = set()
    for start in range(0, len(numbers), VARIABLES_PER_STATEMENT):
        chunk = numbers[start : start + VARIABLES_PER_STATEMENT]
        known.update(
            session.scalars(
                select(PairedImageRow.image_number).where(PairedImageRow.image_number.in_(chunk))
            )
        )
    return sorted(set(numbers) - known)


def place(session: Session, images: Sequence[Placed]) -> None:
    """Write the sides of images that have none."""
    if images:
        session.execute(
            insert(PairedImageRow),
            [
                {"image_number": one.image_number, "split_group": one.group, "side": one.side}
                for one in images
            ],
        )


def join_groups(session: Session, groups: Sequence[int], into: int, side: Side) -> None:
    """Make one group of several, all on the same side."""
    session.execute(
        update(PairedImageRow)
        .where(PairedImageRow.split_group.in_(groups))
        .values(split_group=into, side=side)
    )


def _joined() -> Any:
    return (
        select(
            PairRow.number,
            PairRow.id,
            PairRow.image_number,
            ImageRow.id.label("image_id"),
            ImageRow.sha256,
            ImageRow.filename,
            ImageRow.collection,
            PairRow.text,
            PairedImageRow.side,
            PairRow.created_at,
        )
        .join(PairedImageRow, PairedImageRow.image_number == PairRow.image_number)
        .join(ImageRow, ImageRow.number == PairRow.image_number)
    )


def _pair(row: Any) -> Pair:
    return Pair(*row)
