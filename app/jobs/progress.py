"""What a job in hand says of itself, and what it hears: whether to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

import structlog

from index import DatabaseUnavailable, Job, JobQueue, LeaseLost

log = structlog.get_logger()

# Cancelling is to take two seconds at most: this long to hear of it, then GRACE_SECONDS to stop.
BEAT_SECONDS = 0.4
GRACE_SECONDS = 0.8
# A lease is renewed this often in its time while there is no progress to write.
RENEWALS = 6


class Progress:
    """Holds the lease of one job in hand, as a context. Thread-safe.

    A thread writes what was reported every BEAT_SECONDS and hears whether someone wants the job to
    stop, so that `report` itself costs nothing. `overdue` is called, once and in that thread, when
    the job goes on for GRACE_SECONDS after it was to stop.
    """

    def __init__(
        self,
        jobs: JobQueue,
        job: Job,
        worker: str,
        stop: threading.Event,
        overdue: Callable[[Job], None] | None = None,
    ) -> None:
        self._jobs = jobs
        self._job = job
        self._worker = worker
        self._stop = stop
        self._overdue = overdue
        self._reported: dict[str, Any] = {}
        self._written: dict[str, Any] = {}
        self._written_at = time.monotonic()
        self._is_lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._write()

    @property
    def job(self) -> Job:
        """The job as it was when last heard of."""
        return self._job

    @property
    def checkpoint(self) -> dict[str, Any] | None:
        """What `keep` wrote last, by this worker or one before it."""
        return self._job.checkpoint

    @property
    def should_stop(self) -> bool:
        """Whether the job is to be left: cancelled, paused, lost, or the worker ends."""
        return self._stop.is_set() or self._is_lost or self._job.is_to_stop

    def report(
        self, done: int, total: int, *, unit: str | None = None, message: str | None = None
    ) -> bool:
        """Note how far the job is; gives whether it should stop. Call it at every step."""
        said = {"done": done, "total": total, "unit": unit, "message": message}
        self._reported = self._reported | {
            name: value for name, value in said.items() if value is not None
        }
        return self.should_stop

    def record(self, name: str, data: dict[str, Any]) -> None:
        """Write an entry of the job's log, which followers are sent: a few kilobytes, not often.

        Raises LeaseLost, DatabaseUnavailable.
        """
        self._jobs.record(self._job, self._worker, name, data)

    def keep(self, checkpoint: dict[str, Any]) -> None:
        """Write what the next worker is to go on from, should this one die.

        Its `model_version` keeps that version from being given up as nobody's.

        Raises LeaseLost, DatabaseUnavailable.
        """
        self._jobs.keep(self._job, self._worker, checkpoint)
        self._write()

    def _beat(self) -> None:
        stopping_since: float | None = None
        while not self._ended.wait(BEAT_SECONDS):
            self._write()
            if not self.should_stop or self._overdue is None:
                continue
            stopping_since = stopping_since or time.monotonic()
            if time.monotonic() - stopping_since >= GRACE_SECONDS:
                self._overdue(self._job)
                return

    def _write(self) -> None:
        reported = self._reported
        try:
            age = time.monotonic() - self._written_at
            is_due = age > self._jobs.lease_seconds / RENEWALS
            if reported != self._written or is_due:
                self._job = self._jobs.report(self._job, self._worker, **reported)
                self._written = reported
                self._written_at = time.monotonic()
            else:
                # Reading costs no wait for the disk.
                heard = self._jobs.get(self._job.id)
                self._is_lost = heard.leased_by != self._worker
                self._job = heard
        except LeaseLost:
            self._is_lost = True
        except DatabaseUnavailable as error:
            log.warning("progress_not_written", job=self._job.id, reason=error.reason)
