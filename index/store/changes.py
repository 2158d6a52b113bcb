"""The change log: what every process's vector index applies, in the order of the commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from index.store.announcements import CHANNEL
from index.store.schema import ChangeCounterRow, ChangeRow

ChangeKind = Literal["add", "remove", "promote"]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry. `add` and `remove` name an image; `add` of one version names that version too."""

    sequence: int
    kind: ChangeKind
    image_number: int | None
    model_version: str | None


def append(
    session: Session,
    kind: ChangeKind,
    image_numbers: Sequence[int | None],
    model_version: str | None = None,
) -> int:
    """Log one change for each image number; gives the last sequence number.

    Holds the log's lock until the transaction ends, so call it as late as can be.
    """
    last = take_lock(session, len(image_numbers))
    first = last - len(image_numbers) + 1
    session.execute(
        insert(ChangeRow),
        [
            {
                "sequence": first + position,
                "kind": kind,
                "image_number": number,
                "model_version": model_version,
                "at": datetime.now(UTC),
            }
            for position, number in enumerate(image_numbers)
        ],
    )
    if session.get_bind().dialect.name == "postgresql":
        # Sent when the transaction is committed, and not at all when it is not.
        session.execute(select(func.pg_notify(CHANNEL, "")))
    return last


def take_lock(session: Session, advance: int = 0) -> int:
    """Let no other change be logged until this transaction ends; gives the last sequence number."""
    return session.execute(
        update(ChangeCounterRow)
        .values(value=ChangeCounterRow.value + advance)
        .returning(ChangeCounterRow.value)
        .execution_options(synchronize_session=False)
    ).scalar_one()


def last_sequence(session: Session) -> int:
    """The sequence number of the newest committed change."""
    return session.execute(select(ChangeCounterRow.value)).scalar_one()


def since(session: Session, sequence: int, *, limit: int = 10_000) -> list[Change]:
    """Up to `limit` changes after `sequence`, oldest first."""
    rows = session.scalars(
        select(ChangeRow)
        .where(ChangeRow.sequence > sequence)
        .order_by(ChangeRow.sequence)
        .limit(limit)
    )
    return [
        Change(row.sequence, cast("ChangeKind", row.kind), row.image_number, row.model_version)
        for row in rows
    ]
