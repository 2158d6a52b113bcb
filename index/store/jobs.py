"""Jobs: long work as rows, held by one worker at a time under a lease."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, aliased

from index.errors import Conflict, NotFound
from index.store.schema import JobRow

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})
ATTEMPTS_ALLOWED = 3


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of long work as the other layers see it."""

    number: int
    id: str
    kind: str
    state: JobState
    arguments: dict[str, Any]
    done: int
    total: int | None
    unit: str
    message: str
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
    cancel_requested: bool
    attempts: int
    leased_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


class LeaseLost(Conflict):
    """Another worker has taken the job over; this one stops without writing."""


def enqueue(session: Session, kind: str, arguments: dict[str, Any], *, unit: str) -> Job:
    """A new job that waits for a worker; `unit` is what its progress counts."""
    now = datetime.now(UTC)
    row = JobRow(
        id=secrets.token_hex(8),
        kind=kind,
        state="queued",
        arguments=arguments,
        done=0,
        total=None,
        unit=unit,
        message="waiting for a worker",
        cancel_requested=False,
        attempts=0,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return _job(row)


def is_claimable(session: Session) -> bool:
    """Whether some job waits for a worker, or has lost the one it had."""
    return (
        session.scalar(select(JobRow.number).where(_nobody_holds(datetime.now(UTC))).limit(1))
        is not None
    )


def claim(session: Session, worker: str, *, lease_seconds: float) -> Job | None:
    """The oldest job that nobody holds, now held by `worker`; None when there is none.

    A job whose lease has run out is taken over; after three attempts that ended so it fails.
    One job of a kind runs at a time, since two reindexes would undo each other.
    """
    now = datetime.now(UTC)
    while True:
        row = session.scalar(
            select(JobRow)
            .where(_nobody_holds(now))
            .order_by(JobRow.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return None
        if row.attempts < ATTEMPTS_ALLOWED:
            break
        _end(row, "failed")
        row.message = f"its worker died {ATTEMPTS_ALLOWED} times"
        session.flush()
    row.state = "running"
    row.attempts += 1
    row.leased_by = worker
    row.lease_expires_at = now + timedelta(seconds=lease_seconds)
    row.started_at = row.started_at or now
    row.updated_at = now
    row.message = "running"
    session.flush()
    return _job(row)


def report(
    session: Session,
    job_id: str,
    worker: str,
    *,
    lease_seconds: float,
    done: int | None = None,
    total: int | None = None,
    message: str | None = None,
) -> bool:
    """Renew the lease and write how far the job is; gives whether it should stop.

    Raises LeaseLost.
    """
    row = _held(session, job_id, worker)
    now = datetime.now(UTC)
    row.lease_expires_at = now + timedelta(seconds=lease_seconds)
    row.updated_at = now
    row.done = row.done if done is None else done
    row.total = row.total if total is None else total
    row.message = row.message if message is None else message
    return row.cancel_requested


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
    row = _held(session, job_id, worker)
    _end(row, state, result=result, problem=problem)
    row.message = message


def release(session: Session, job_id: str, worker: str) -> None:
    """Put the job back in the queue, to be continued by whoever comes. Raises LeaseLost."""
    row = _held(session, job_id, worker)
    row.state = "queued"
    row.attempts -= 1
    row.leased_by = None
    row.lease_expires_at = None
    row.message = "interrupted; waiting for a worker"
    row.updated_at = datetime.now(UTC)


def request_cancel(session: Session, job_id: str) -> Job:
    """Ask the job to stop; one that nobody holds ends at once.

    Raises NotFound, Conflict when it has ended already.
    """
    row = _row(session, job_id)
    if row.state in ENDED:
        raise Conflict(f"The job {job_id} has ended already: {row.state}.")
    row.cancel_requested = True
    if row.state == "queued":
        _end(row, "cancelled")
        row.message = "cancelled before it began"
    session.flush()
    return _job(row)


def get(session: Session, job_id: str) -> Job:
    """The job with this id. Raises NotFound."""
    return _job(_row(session, job_id, lock=False))


def page(session: Session, *, before_number: int | None = None, limit: int) -> list[Job]:
    """Up to `limit` jobs, newest first."""
    statement = select(JobRow).order_by(JobRow.number.desc()).limit(limit)
    if before_number is not None:
        statement = statement.where(JobRow.number < before_number)
    return [_job(row) for row in session.scalars(statement)]


def unfinished(session: Session) -> list[Job]:
    """Every job that waits or runs, oldest first."""
    rows = session.scalars(
        select(JobRow).where(JobRow.state.in_(["queued", "running"])).order_by(JobRow.number)
    )
    return [_job(row) for row in rows]


def _nobody_holds(now: datetime) -> ColumnElement[bool]:
    held = aliased(JobRow)
    kinds_held = select(held.kind).where(held.state == "running", held.lease_expires_at >= now)
    return or_(
        and_(JobRow.state == "queued", JobRow.kind.not_in(kinds_held)),
        and_(JobRow.state == "running", JobRow.lease_expires_at < now),
    )


def _row(session: Session, job_id: str, *, lock: bool = True) -> JobRow:
    statement = select(JobRow).where(JobRow.id == job_id)
    row = session.scalar(statement.with_for_update() if lock else statement)
    if row is None:
        raise NotFound("job", job_id)
    return row


def _held(session: Session, job_id: str, worker: str) -> JobRow:
    row = _row(session, job_id)
    if row.state != "running" or row.leased_by != worker:
        raise LeaseLost(f"The job {job_id} is no longer held by {worker}.")
    return row


def _end(
    row: JobRow,
    state: Literal["succeeded", "failed", "cancelled"],
    *,
    result: dict[str, Any] | None = None,
    problem: dict[str, Any] | None = None,
) -> None:
    now = datetime.now(UTC)
    row.state = state
    row.result = result
    row.problem = problem
    row.leased_by = None
    row.lease_expires_at = None
    row.finished_at = now
    row.updated_at = now


def _job(row: JobRow) -> Job:
    return Job(
        number=row.number,
        id=row.id,
        kind=row.kind,
        state=cast("JobState", row.state),
        arguments=row.arguments,
        done=row.done,
        total=row.total,
        unit=row.unit,
        message=row.message,
        result=row.result,
        problem=row.problem,
        cancel_requested=row.cancel_requested,
        attempts=row.attempts,
        leased_by=row.leased_by,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        updated_at=row.updated_at,
    )
