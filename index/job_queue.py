"""Jobs for those who ask for long work and those who do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from index import cursors
from index.store import jobs
from index.store.database import Database
from index.store.jobs import Job

# A worker renews its lease every few seconds; one that is silent for this long is dead.
LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None


class JobQueue:
    """The jobs table, one transaction a call. Thread-safe; all raise DatabaseUnavailable."""

    def __init__(self, database: Database, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._database = database
        self.lease_seconds = lease_seconds

    def enqueue(self, kind: str, arguments: dict[str, Any], *, unit: str) -> Job:
        """A new job, waiting."""
        with self._database.writing() as session:
            return jobs.enqueue(session, kind, arguments, unit=unit)

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

    def request_cancel(self, job_id: str) -> Job:
        """Ask a job to stop. Raises NotFound, Conflict when it has ended."""
        with self._database.writing() as session:
            return jobs.request_cancel(session, job_id)

    def is_claimable(self) -> bool:
        """Whether some job waits for a worker."""
        with self._database.reading() as session:
            return jobs.is_claimable(session)

    def claim(self, worker: str) -> Job | None:
        """The next job, held by `worker` from now on; None when there is none."""
        with self._database.writing() as session:
            return jobs.claim(session, worker, lease_seconds=self.lease_seconds)

    def report(
        self, job: Job, worker: str, *, done: int | None = None, total: int | None = None
    ) -> bool:
        """Renew the lease and write progress; gives whether to stop. Raises LeaseLost."""
        with self._database.writing() as session:
            return jobs.report(
                session, job.id, worker, lease_seconds=self.lease_seconds, done=done, total=total
            )

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
            jobs.finish(
                session, job.id, worker, state, message=message, result=result, problem=problem
            )

    def release(self, job: Job, worker: str) -> None:
        """Put an interrupted job back in the queue. Raises LeaseLost."""
        with self._database.writing() as session:
            jobs.release(session, job.id, worker)
