"""The log of each job: what it recorded on its way, a point of a curve say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from index.store.job_leases import held_row
from index.store.job_rows import now_of, row_of
from index.store.schema import JobRecordRow


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One entry of a job's log; `number` grows within it."""

    number: int
    name: str
    data: dict[str, Any]
    at: datetime


def append(session: Session, job_id: str, worker: str, name: str, data: dict[str, Any]) -> None:
    """Write an entry of the log of a job that `worker` holds. Raises LeaseLost."""
    row = held_row(session, job_id, worker)
    session.add(JobRecordRow(job_number=row.number, name=name, data=data, at=now_of(session)))


def since(session: Session, job_id: str, *, after: int, limit: int | None) -> list[JobRecord]:
    """Entries after the number `after`, oldest first, `limit` at most. Raises NotFound."""
    job = row_of(session, job_id, lock=False)
    rows = session.scalars(
        select(JobRecordRow)
        .where(JobRecordRow.job_number == job.number, JobRecordRow.number > after)
        .order_by(JobRecordRow.number)
        .limit(limit)
    )
    return [JobRecord(row.number, row.name, row.data, row.at) for row in rows]


def last_number(session: Session, job_number: int) -> int:
    """The number of the newest entry; 0 when there is none."""
    newest = select(func.max(JobRecordRow.number)).where(JobRecordRow.job_number == job_number)
    return session.scalar(newest) or 0
