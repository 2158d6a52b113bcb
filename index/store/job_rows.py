"""The rows of the jobs table, and the changes of state that askers and workers both make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from index.errors import Conflict, NotFound
from index.store.schema import JobRow

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})
WAITING = "waiting for a worker"


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of long work as the other layers see it.

    Jobs of one `turn` run one after another. `checkpoint` is what the work last kept of itself, to
    be gone on from. A paused job waits, whoever holds it, until it is resumed.
    """

    number: int
    id: str
    kind: str
    state: JobState
    turn: str | None
    arguments: dict[str, Any]
    checkpoint: dict[str, Any] | None
    done: int
    total: int | None
    unit: str
    message: str
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
    cancel_requested: bool
    paused_at: datetime | None
    paused_by: str | None
    attempts: int
    leased_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime

    @property
    def is_to_stop(self) -> bool:
        """Whether someone asked the one who does it to leave it."""
        return self.cancel_requested or self.paused_at is not None


def now_of(session: Session) -> datetime:
    """The one clock that all workers' leases are written and read by."""
    if session.get_bind().dialect.name == "postgresql":
        # Workers on several machines share a database, not a clock.
        return session.scalars(select(func.now())).one()
    return datetime.now(UTC)


def row_of(session: Session, job_id: str, *, lock: bool = True) -> JobRow:
    """The row of this job, locked until the transaction ends. Raises NotFound."""
    statement = select(JobRow).where(JobRow.id == job_id)
    row = session.scalar(statement.with_for_update() if lock else statement)
    if row is None:
        raise NotFound("job", job_id)
    return row


def unfinished_row(session: Session, job_id: str) -> JobRow:
    """The row of a job that waits or runs. Raises NotFound, Conflict when it has ended."""
    row = row_of(session, job_id)
    if row.state in ENDED:
        raise Conflict(f"The job {job_id} has ended already: {row.state}.")
    return row


def put_back(row: JobRow, now: datetime) -> None:
    """Let the job wait for its next worker."""
    row.state = "queued"
    row.leased_by = None
    row.lease_expires_at = None
    row.updated_at = now
    row.message = f"interrupted; {WAITING}" if row.paused_at is None else paused_message(row)


def paused_message(row: JobRow) -> str:
    """What a paused job says of itself."""
    return f"paused by {row.paused_by}"


def end(
    row: JobRow,
    state: Literal["succeeded", "failed", "cancelled"],
    now: datetime,
    *,
    result: dict[str, Any] | None = None,
    problem: dict[str, Any] | None = None,
) -> None:
    """Write that the job has ended, and let go of its lease."""
    row.state = state
    row.result = result
    row.problem = problem
    row.leased_by = None
    row.lease_expires_at = None
    row.paused_at = None
    row.paused_by = None
    row.finished_at = now
    row.updated_at = now


def as_jobs(session: Session, rows: Sequence[JobRow]) -> list[Job]:
    """The jobs, a waiting one with the name of the one whose turn it is."""
    waiting = [row for row in rows if row.state == "queued" and row.turn and not row.paused_at]
    if not waiting:
        return [as_job(row) for row in rows]
    running = session.execute(
        select(JobRow.turn, JobRow.kind, JobRow.id).where(JobRow.state == "running")
    )
    holders = {turn: f"waiting for the {kind} {job_id} to end" for turn, kind, job_id in running}
    return [
        replace(as_job(row), message=holders.get(row.turn, row.message))
        if row in waiting
        else as_job(row)
        for row in rows
    ]


def as_job(row: JobRow) -> Job:
    """The job as the other layers see it."""
    return Job(
        number=row.number,
        id=row.id,
        kind=row.kind,
        state=cast("JobState", row.state),
        turn=row.turn,
        arguments=row.arguments,
        checkpoint=row.checkpoint,
        done=row.done,
        total=row.total,
        unit=row.unit,
        message=row.message,
        result=row.result,
        problem=row.problem,
        cancel_requested=row.cancel_requested,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        attempts=row.attempts,
        leased_by=row.leased_by,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        updated_at=row.updated_at,
    )
