"""Jobs for those who ask for long work and those who do it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from index import cursors
from index.store import job_leases, job_records, jobs
from index.store.database import Database
from index.store.job_leases import Lease
from index.store.job_records import JobRecord
from index.store.job_rows import Job

# A worker renews its lease every few seconds; one that is silent for this long is dead.
LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class JobRecordPage:
    """A part of a job's log, oldest first; `next_cursor` is None at its present end."""

    records: list[JobRecord]
    next_cursor: str | None


class JobQueue:
    """The jobs table, one transaction a call. Thread-safe; all raise DatabaseUnavailable."""

    def __init__(self, database: Database, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._database = database
        self.lease_seconds = lease_seconds
        self._seen: dict[Lease, float] = {}

    def enqueue(
        self, kind: str, arguments: dict[str, Any], *, unit: str, turn: str | None = None
    ) -> Job:
        """A new job, waiting; jobs of one `turn` run one after another."""
        with self._database.writing() as session:
            return jobs.enqueue(session, kind, arguments, unit=unit, turn=turn)

    def get(self, job_id: str) -> Job:
        """The job with this id. Raises NotFound."""
        with self._database.reading() as session:
            return jobs.get(session, job_id)

    def page(self, *, limit: int, cursor: str | None) -> JobPage:
        """A page of jobs. Raises CursorError."""
        before_number = None if cursor is None else cursors.unpack_number(cursor)
        with self._database.reading() as session:
            found = jobs.page(session, before_number=before_number, limit=limit + 1)
        shown = found[:limit]
        return JobPage(shown, cursors.pack({"n": shown[-1].number}) if len(found) > limit else None)

    def records(self, job_id: str, *, after: int, limit: int | None = None) -> list[JobRecord]:
        """Entries of the job's log after the number `after`, `limit` at most. Raises NotFound."""
        with self._database.reading() as session:
            return job_records.since(session, job_id, after=after, limit=limit)

    def record_page(self, job_id: str, *, limit: int, cursor: str | None) -> JobRecordPage:
        """A page of the job's log, oldest first. Raises NotFound, CursorError."""
        after = 0 if cursor is None else cursors.unpack_number(cursor)
        found = self.records(job_id, after=after, limit=limit + 1)
        shown = found[:limit]
        more = len(found) > limit
        return JobRecordPage(shown, cursors.pack({"n": shown[-1].number}) if more else None)

    def request_cancel(self, job_id: str) -> Job:
        """Ask a job to stop. Raises NotFound, Conflict when it has ended."""
        with self._database.writing() as session:
            return jobs.request_cancel(session, job_id)

    def pause(self, job_id: str, *, by: str) -> Job:
        """Keep a job from being done until it is resumed; `by` says who wants it so.

        Raises NotFound, Conflict when it has ended or is paused.
        """
        with self._database.writing() as session:
            return jobs.pause(session, job_id, by=by)

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on. Raises NotFound, Conflict when it is not paused."""
        with self._database.writing() as session:
            return jobs.resume(session, job_id)

    def is_claimable(self) -> bool:
        """Whether some job waits for a worker."""
        with self._database.reading() as session:
            return job_leases.is_claimable(session, silent=self._silent(session))

    def claim(self, worker: str) -> Job | None:
        """The next job, held by `worker` from now on; None when there is none."""
        with self._database.writing() as session:
            return job_leases.claim(
                session, worker, lease_seconds=self.lease_seconds, silent=self._silent(session)
            )

    def report(
        self,
        job: Job,
        worker: str,
        *,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        message: str | None = None,
    ) -> Job:
        """Renew the lease and write progress; gives the job as it is then. Raises LeaseLost."""
        with self._database.writing() as session:
            return job_leases.report(
                session,
                job.id,
                worker,
                lease_seconds=self.lease_seconds,
                done=done,
                total=total,
                unit=unit,
                message=message,
            )

    def record(self, job: Job, worker: str, name: str, data: dict[str, Any]) -> None:
        """Write an entry of the job's log. Raises LeaseLost."""
        with self._database.writing() as session:
            job_records.append(session, job.id, worker, name, data)

    def keep(self, job: Job, worker: str, checkpoint: dict[str, Any]) -> None:
        """Write what the next worker is to go on from. Raises LeaseLost."""
        with self._database.writing() as session:
            job_leases.keep(session, job.id, worker, checkpoint)

    def finish(
        self,
        job: Job,
        worker: str,
        state: Literal["succeeded", "failed", "cancelled"],
        *,
        message: str,
        result: dict[str, Any] | None = None,
        problem: dict[str, Any] | None = None,
    ) -> None:
        """Write how the job ended. Raises LeaseLost."""
        with self._database.writing() as session:
            job_leases.finish(
                session, job.id, worker, state, message=message, result=result, problem=problem
            )

    def release(self, job: Job, worker: str, *, failure: str | None = None) -> None:
        """Put an interrupted job back in the queue; with a `failure` it was an attempt.

        Raises LeaseLost.
        """
        with self._database.writing() as session:
            job_leases.release(session, job.id, worker, failure=failure)

    def _silent(self, session: Session) -> Sequence[Lease]:
        """The leases that have not been renewed for too long by this process's own clock.

        The moments in the table are of a clock that may be set back, and would then keep the job of
        a dead worker for as long as it was set back.
        """
        now = time.monotonic()
        self._seen = {lease: self._seen.get(lease, now) for lease in job_leases.leases(session)}
        return [lease for lease, at in self._seen.items() if now - at > self.lease_seconds]
