"""The worker: claims jobs one after another and does them."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from app.api.problems import INTERNAL, problem_of, problem_type
from app.jobs.kinds import KINDS
from app.jobs.progress import Progress
from app.services import Services
from index import Cancelled, DatabaseUnavailable, Job, LeaseLost, RetrievalError
from model import ModelError

log = structlog.get_logger()

IDLE_SECONDS = 0.5
DATABASE_RETRY_SECONDS = 1.0


class Worker:
    """Does jobs until told to stop. One job at a time; run more workers for more.

    A job it holds when it is stopped goes back into the queue and is continued by the next.
    `end_process` ends this process at once; it is called when a job does not stop soon after it was
    asked to, once that job is cancelled or back in the queue. Without it such a job is waited for.
    """

    def __init__(
        self, services: Services, *, end_process: Callable[[], None] | None = None
    ) -> None:
        self._services = services
        self._end_process = end_process
        self._name = f"{socket.gethostname()[:40]}:{os.getpid()}:{id(self):x}"
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask it to end soon; may be called from a signal handler or another thread."""
        self._stop.set()

    def run(self, *, idle_seconds: float = math.inf) -> None:
        """Work until stopped, or until nothing was to do for so long.

        A database that is away is waited for.
        """
        busy_at = time.monotonic()
        while not self._stop.is_set() and time.monotonic() - busy_at < idle_seconds:
            try:
                did_something = self.run_once()
            except DatabaseUnavailable as error:
                log.warning("database_unavailable", reason=error.reason)
                did_something = False
            if did_something:
                busy_at = time.monotonic()
            else:
                self._stop.wait(IDLE_SECONDS)

    def run_once(self) -> bool:
        """Do one job if one waits, or help with a reindex; gives whether there was something.

        Raises DatabaseUnavailable.
        """
        self._services.versions.discard_abandoned()
        job = self._services.jobs.claim(self._name)
        if job is None:
            return self._help()
        log.info("job_started", job=job.id, kind=job.kind, attempt=job.attempts)
        try:
            self._do(job)
        except LeaseLost:
            log.warning("job_lost", job=job.id)
        return True

    def _help(self) -> bool:
        """Take a part of a reindex that another worker does; gives whether there was one."""
        try:
            return self._services.reindexer.help(self._stop.is_set)
        except DatabaseUnavailable:
            raise
        except (RetrievalError, ModelError) as error:
            log.warning("help_failed", reason=str(error))
            return False

    def _do(self, job: Job) -> None:
        overdue = None if self._end_process is None else self._leave_at_once
        with Progress(self._services.jobs, job, self._name, self._stop, overdue) as progress:
            settle = self._outcome(job, progress)
        while True:
            try:
                settle()
                return
            except DatabaseUnavailable as error:
                # What was done is not lost while the database is away, unless for longer than the
                # lease: then whoever takes the job over goes on from its checkpoint.
                log.warning("database_unavailable", job=job.id, reason=error.reason)
                if self._stop.wait(DATABASE_RETRY_SECONDS):
                    return

    def _outcome(self, job: Job, progress: Progress) -> Callable[[], None]:
        """Do the job; gives what writes how it ended. Raises LeaseLost."""
        try:
            result = KINDS[job.kind].run(self._services, job, progress)
        except Cancelled:
            return partial(self._leave, job)
        except LeaseLost:
            raise
        except DatabaseUnavailable as error:
            # One that answers now and did not a moment ago may do so for ever: that is an attempt.
            failure = str(error) if self._is_database_there() else None
            return partial(self._release, job, failure)
        except Exception as error:  # noqa: BLE001  (a fault of ours ends the job, not the worker)
            return partial(self._fail, job, error)
        return partial(self._succeed, job, result)

    def _is_database_there(self) -> bool:
        try:
            self._services.jobs.is_claimable()
        except DatabaseUnavailable:
            return False
        return True

    def _leave(self, job: Job) -> None:
        if self._services.jobs.get(job.id).cancel_requested:
            self._services.jobs.finish(job, self._name, "cancelled", message="cancelled")
            log.info("job_cancelled", job=job.id)
        else:
            self._release(job, None)

    def _release(self, job: Job, failure: str | None) -> None:
        self._services.jobs.release(job, self._name, failure=failure)
        log.info("job_released", job=job.id, reason=failure)

    def _leave_at_once(self, job: Job) -> None:
        log.warning("job_overdue", job=job.id)
        try:
            self._leave(job)
        except (LeaseLost, DatabaseUnavailable) as error:
            log.warning("job_left", job=job.id, reason=str(error))
        assert self._end_process is not None, "only then is a job overdue"
        self._end_process()

    def _fail(self, job: Job, error: Exception) -> None:
        problem = problem_of(error)
        message = problem["detail"]
        self._services.jobs.finish(job, self._name, "failed", message=message, problem=problem)
        unforeseen = error if problem_type(error) is INTERNAL else None
        log.warning("job_failed", job=job.id, reason=str(error), exc_info=unforeseen)

    def _succeed(self, job: Job, result: dict[str, Any]) -> None:
        failed = result.get("failed", 0)
        message = result.get("message", "succeeded")
        message = f"{message} with {failed} errors" if failed else message
        self._services.jobs.finish(job, self._name, "succeeded", message=message, result=result)
        log.info("job_succeeded", job=job.id, errors=failed)
