"""Jobs for those who ask for long work: made, shown, cancelled, paused."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from index.errors import Conflict
from index.store.job_rows import (
    WAITING,
    Job,
    as_job,
    as_jobs,
    end,
    now_of,
    paused_message,
    row_of,
    unfinished_row,
)
from index.store.schema import JobRow


def enqueue(
    session: Session, kind: str, arguments: dict[str, Any], *, unit: str, turn: str | None = None
) -> Job:
    """A new job that waits for a worker; `unit` is what its progress counts."""
    now = now_of(session)
    row = JobRow(
        id=secrets.token_hex(8),
        kind=kind,
        state="queued",
        turn=turn,
        arguments=arguments,
        done=0,
        total=None,
        unit=unit,
        message=WAITING,
        cancel_requested=False,
        attempts=0,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return as_jobs(session, [row])[0]


def request_cancel(session: Session, job_id: str) -> Job:
    """Ask the job to stop; one that nobody holds ends at once.

    Raises NotFound, Conflict when it has ended already.
    """
    row = unfinished_row(session, job_id)
    row.cancel_requested = True
    if row.state == "queued":
        end(row, "cancelled", now_of(session))
        row.message = "cancelled" if row.started_at else "cancelled before it began"
    session.flush()
    return as_job(row)


def pause(session: Session, job_id: str, *, by: str) -> Job:
    """Keep the job from being done until it is resumed; whoever does it leaves it.

    Raises NotFound, Conflict when it has ended already or is paused.
    """
    row = unfinished_row(session, job_id)
    if row.paused_at is not None:
        raise Conflict(f"The job {job_id} is paused already, by {row.paused_by}.")
    row.paused_at = row.updated_at = now_of(session)
    row.paused_by = by
    if row.state == "queued":
        row.message = paused_message(row)
    session.flush()
    return as_job(row)


def resume(session: Session, job_id: str) -> Job:
    """Let a paused job be done again. Raises NotFound, Conflict when it is not paused."""
    row = unfinished_row(session, job_id)
    if row.paused_at is None:
        raise Conflict(f"The job {job_id} is not paused.")
    row.paused_at = row.paused_by = None
    row.updated_at = now_of(session)
    if row.state == "queued":
        row.message = WAITING
    session.flush()
    return as_jobs(session, [row])[0]


def get(session: Session, job_id: str) -> Job:
    """The job with this id. Raises NotFound."""
    return as_jobs(session, [row_of(session, job_id, lock=False)])[0]


def page(session: Session, *, before_number: int | None = None, limit: int) -> list[Job]:
    """Up to `limit` jobs, newest first."""
    statement = select(JobRow).order_by(JobRow.number.desc()).limit(limit)
    if before_number is not None:
        statement = statement.where(JobRow.number < before_number)
    return as_jobs(session, list(session.scalars(statement)))


def unfinished(session: Session) -> list[Job]:
    """Every job that waits or runs, oldest first."""
    rows = session.scalars(
        select(JobRow).where(JobRow.state.in_(["queued", "running"])).order_by(JobRow.number)
    )
    return [as_job(row) for row in rows]
