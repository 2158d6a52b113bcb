"""Jobs for those who do them: each held by one worker at a time, under a lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from index.errors import Conflict
from index.store.job_rows import Job, as_job, end, now_of, put_back, row_of
from index.store.schema import JobRow

ATTEMPTS_ALLOWED = 3


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a running job until when; the moment changes with each sign of life."""

    job_id: str
    expires_at: datetime


class LeaseLost(Conflict):
    """Another worker has taken the job over; this one stops without writing."""


def leases(session: Session) -> list[Lease]:
    """The leases of all running jobs."""
    rows = session.execute(
        select(JobRow.id, JobRow.lease_expires_at).where(JobRow.state == "running")
    )
    return [Lease(job_id, expires_at) for job_id, expires_at in rows if expires_at is not None]


def is_claimable(session: Session, *, silent: Sequence[Lease] = ()) -> bool:
    """Whether some job waits for a worker, or has lost the one it had."""
    statement = select(JobRow.number).where(_nobody_holds(now_of(session), silent)).limit(1)
    return session.scalar(statement) is not None


def claim(
    session: Session, worker: str, *, lease_seconds: float, silent: Sequence[Lease] = ()
) -> Job | None:
    """The oldest job that nobody holds, now held by `worker`; None when there is none.

    A job whose lease has run out or is `silent` is taken over; after three attempts that ended so
    it fails. A job waits while another of its turn runs.
    """
    now = now_of(session)
    while True:
        row = session.scalar(
            select(JobRow)
            .where(_nobody_holds(now, silent))
            .order_by(JobRow.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return None
        if not _is_settled(row, now):
            break
        session.flush()
    try:
        with session.begin_nested():
            row.state = "running"
            row.attempts += 1
            row.leased_by = worker
            row.lease_expires_at = now + timedelta(seconds=lease_seconds)
            row.started_at = row.started_at or now
            row.updated_at = now
            row.message = "running"
    except IntegrityError:
        # Two workers chose different jobs of one turn in the same moment; the index on running
        # turns let one of them through.
        return None
    return as_job(row)


def _is_settled(row: JobRow, now: datetime) -> bool:
    """Whether a job that nobody holds needs no other worker; it has ended or waits then."""
    if row.state == "running" and row.cancel_requested:
        row.message = "cancelled"
        end(row, "cancelled", now)
    elif row.state == "running" and row.paused_at is not None:
        put_back(row, now)
    elif row.attempts >= ATTEMPTS_ALLOWED:
        far = f"{row.done} of {row.total} {row.unit}" if row.total is not None else "the start"
        died = f"its worker died {ATTEMPTS_ALLOWED} times, at last at {far}"
        row.message = died if row.state == "running" else f"given up: {row.message}"
        end(row, "failed", now)
    else:
        return False
    return True


def report(
    session: Session,
    job_id: str,
    worker: str,
    *,
    lease_seconds: float,
    done: int | None = None,
    total: int | None = None,
    unit: str | None = None,
    message: str | None = None,
) -> Job:
    """Renew the lease and write how far the job is; gives the job as it is then.

    Raises LeaseLost.
    """
    row = held_row(session, job_id, worker)
    now = now_of(session)
    row.lease_expires_at = now + timedelta(seconds=lease_seconds)
    row.updated_at = now
    row.done = row.done if done is None else done
    row.total = row.total if total is None else total
    row.unit = unit or row.unit
    row.message = message or row.message
    return as_job(row)


def keep(session: Session, job_id: str, worker: str, checkpoint: dict[str, Any]) -> None:
    """Write what the next worker is to go on from. Raises LeaseLost."""
    row = held_row(session, job_id, worker)
    row.checkpoint = checkpoint
    row.updated_at = now_of(session)


def finish(
    session: Session,
    job_id: str,
    worker: str,
    state: Literal["succeeded", "failed", "cancelled"],
    *,
    message: str,
    result: dict[str, Any] | None = None,
    problem: dict[str, Any] | None = None,
) -> None:
    """Write how the job ended. Raises LeaseLost."""
    row = held_row(session, job_id, worker)
    end(row, state, now_of(session), result=result, problem=problem)
    row.message = message


def release(session: Session, job_id: str, worker: str, *, failure: str | None = None) -> None:
    """Put the job back in the queue, to be continued by whoever comes.

    It counts as one of its attempts if there was a `failure`. Raises LeaseLost.
    """
    row = held_row(session, job_id, worker)
    put_back(row, now_of(session))
    if failure is None:
        row.attempts -= 1
    else:
        row.message = failure


def _nobody_holds(now: datetime, silent: Sequence[Lease]) -> ColumnElement[bool]:
    other = aliased(JobRow)
    turn_is_taken = (
        select(other.number).where(other.turn == JobRow.turn, other.state == "running").exists()
    )
    unmoved = [
        and_(JobRow.id == lease.job_id, JobRow.lease_expires_at == lease.expires_at)
        for lease in silent
    ]
    return or_(
        and_(JobRow.state == "queued", JobRow.paused_at.is_(None), ~turn_is_taken),
        and_(JobRow.state == "running", or_(JobRow.lease_expires_at < now, *unmoved)),
    )


def held_row(session: Session, job_id: str, worker: str) -> JobRow:
    """The row of a job that `worker` holds. Raises NotFound, LeaseLost."""
    row = row_of(session, job_id)
    if row.state != "running" or row.leased_by != worker:
        raise LeaseLost(f"The job {job_id} is no longer held by {worker}.")
    return row
