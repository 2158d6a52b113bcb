"""Saved probes: what a classifier of the owner's labels weighs, under the name it was given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select
from sqlalchemy.orm import Session

from index.errors import NotFound
from index.store.schema import ProbeRow
from index.store.text_order import CodePoints


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A saved probe without its weights; `fingerprint` is that of the model it was trained on."""

    name: str
    fingerprint: str
    details: dict[str, Any]
    created_at: datetime


def put(
    session: Session, name: str, *, fingerprint: str, content: bytes, details: dict[str, Any]
) -> ProbeRecord:
    """Write a probe, in place of the one that has this name."""
    session.execute(delete_rows(ProbeRow).where(ProbeRow.name == name))
    row = ProbeRow(
        name=name,
        fingerprint=fingerprint,
        content=content,
        details=details,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    return ProbeRecord(row.name, row.fingerprint, row.details, row.created_at)


def all_probes(session: Session) -> list[ProbeRecord]:
    """Every probe, by the code points of its name."""
    rows = session.execute(
        select(ProbeRow.name, ProbeRow.fingerprint, ProbeRow.details, ProbeRow.created_at).order_by(
            CodePoints(ProbeRow.name)
        )
    )
    return [ProbeRecord(*row) for row in rows]


def get(session: Session, name: str) -> tuple[ProbeRecord, bytes]:
    """The probe of this name and its weights. Raises NotFound."""
    row = session.scalar(select(ProbeRow).where(ProbeRow.name == name))
    if row is None:
        raise NotFound("probe", name)
    return ProbeRecord(row.name, row.fingerprint, row.details, row.created_at), row.content


def delete(session: Session, name: str) -> None:
    """Remove a probe. Raises NotFound."""
    statement = delete_rows(ProbeRow).where(ProbeRow.name == name).returning(ProbeRow.name)
    if session.scalar(statement) is None:
        raise NotFound("probe", name)
