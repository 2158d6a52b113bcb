"""Every row of one database into another of the same revision, from either kind to either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import JSON, Insert, Table, bindparam, delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from index.store.schema import Base

ROWS_AT_ONCE = 1_000


def copy_rows(
    source: Session, target: Session, report: Callable[[int], None] = lambda _: None
) -> dict[str, int]:
    """Replace all that `target` has by what `source` has; gives how many rows each table got.

    `source` has to see one moment throughout, and the caller commits. `report` gets how many rows
    have been copied so far.
    """
    tables = Base.metadata.sorted_tables
    for table in reversed(tables):
        target.execute(delete(table))
    counts: dict[str, int] = {}
    for table in tables:
        counts[table.name] = 0
        insertion = _insertion(table)
        names = [_new(column.name) for column in table.columns]
        rows = source.execute(select(table), execution_options={"yield_per": ROWS_AT_ONCE})
        for part in rows.partitions():
            target.execute(
                insertion,
                [dict(zip(names, row, strict=True)) for row in part],
            )
            counts[table.name] += len(part)
            report(sum(counts.values()))
        _go_on_counting(target, table)
    return counts


def count_rows(session: Session) -> dict[str, int]:
    """How many rows each table has."""
    return {
        table.name: session.scalar(select(func.count()).select_from(table)) or 0
        for table in Base.metadata.sorted_tables
    }


def _insertion(table: Table) -> Insert:
    values: dict[str, Any] = {
        column.name: bindparam(_new(column.name), type_=_type(column.type))
        for column in table.columns
    }
    return insert(table).values(values)


def _new(name: str) -> str:
    # SQLAlchemy keeps a column's own name for itself.
    return f"new_{name}"


def _type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The column's type, with None for SQL's NULL and never for the document `null`."""
    if not isinstance(kind, JSON):
        return kind
    return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _go_on_counting(session: Session, table: Table) -> None:
    """Let the next row's number follow the last copied one; SQLite sees to it by itself."""
    column = table.autoincrement_column
    if column is None or session.get_bind().dialect.name != "postgresql":
        return
    sequence = session.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
    if sequence is None:
        return
    last = session.scalar(select(func.max(column))) or 0
    session.execute(
        text("SELECT setval(CAST(:sequence AS regclass), :following, false)"),
        {"sequence": sequence, "following": last + 1},
    )
