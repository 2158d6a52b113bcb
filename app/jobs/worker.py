"""The worker: claims jobs one after another and does them."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from typing import Self

import structlog

from app.api.problems import problem_of
from app.jobs import reindex
from app.services import Services
from index import Cancelled, DatabaseUnavailable, Job, LeaseLost, RetrievalError
from model import ModelError

log = structlog.get_logger()

IDLE_SECONDS = 0.5
REPORT_SECONDS = 1.0
KINDS = {reindex.KIND: reindex.run}


class Worker:
    """Does jobs until told to stop. One job at a time; run more workers for more.

    A job it holds when it is stopped goes back into the queue and is continued by the next.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
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
        """Do one job if one waits; gives whether one did. Raises DatabaseUnavailable."""
        self._services.versions.discard_abandoned()
        job = self._services.jobs.claim(self._name)
        if job is None:
            return False
        log.info("job_started", job=job.id, kind=job.kind, attempt=job.attempts)
        try:
            self._do(job)
        except LeaseLost:
            log.warning("job_lost", job=job.id)
        return True

    def _do(self, job: Job) -> None:
        jobs = self._services.jobs
        reporter = _Reporter(self._services, job, self._name, self._stop)
        with reporter:
            try:
                result = KINDS[job.kind](self._services, job, reporter.report)
            except Cancelled:
                if self._stop.is_set():
                    jobs.release(job, self._name)
                    log.info("job_released", job=job.id)
                else:
                    jobs.finish(job, self._name, "cancelled", message="cancelled")
                    log.info("job_cancelled", job=job.id)
                return
            except (RetrievalError, ModelError) as error:
                if isinstance(error, LeaseLost | DatabaseUnavailable):
                    raise
                problem = problem_of(error)
                message = problem["detail"]
                jobs.finish(job, self._name, "failed", message=message, problem=problem)
                log.warning("job_failed", job=job.id, reason=str(error))
                return
        failed = result.get("failed", 0)
        message = f"succeeded with {failed} errors" if failed else "succeeded"
        jobs.finish(job, self._name, "succeeded", message=message, result=result)
        log.info("job_succeeded", job=job.id, errors=failed)


class _Reporter:
    """Writes progress at most once a second, and keeps the lease while one step takes long."""

    def __init__(self, services: Services, job: Job, worker: str, stop: threading.Event) -> None:
        self._services = services
        self._job = job
        self._worker = worker
        self._stop = stop
        self._progress: tuple[int, int] | None = None
        self._should_stop = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._write()

    def report(self, done: int, total: int) -> bool:
        """Note how far the job is; gives whether it should stop."""
        self._progress = (done, total)
        return self._should_stop or self._stop.is_set()

    def _beat(self) -> None:
        while not self._ended.wait(REPORT_SECONDS):
            self._write()

    def _write(self) -> None:
        done, total = self._progress or (None, None)
        try:
            self._should_stop = self._services.jobs.report(
                self._job, self._worker, done=done, total=total
            )
        except LeaseLost:
            self._should_stop = True
        except DatabaseUnavailable as error:
            log.warning("progress_not_written", job=self._job.id, reason=error.reason)
