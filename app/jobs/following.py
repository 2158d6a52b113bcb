"""A job on the command line: followed with a bar, and done here if no other worker takes it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from app.bars import bars, interruptible
from app.jobs.worker import Worker
from app.services import Services
from index import Job, JobQueue

POLL_SECONDS = 0.2


def do_with_bar(services: Services, job: Job) -> Job:
    """The job as it ended, or as it was left by Ctrl-C, to be continued by another worker."""
    worker = Worker(services)
    thread = threading.Thread(target=worker.run, name="worker")

    thread.start()
    try:
        follow_with_bar(services.jobs, job, interrupted=worker.stop)
    finally:
        worker.stop()
        thread.join()
    return services.jobs.get(job.id)


def follow_with_bar(
    jobs: JobQueue, job: Job, *, interrupted: Callable[[], None] = lambda: None
) -> Job:
    """The job as it ended, or as it is at Ctrl-C, which leaves it alone. Raises what `get` does.

    The bar is on standard error. `interrupted` is called at Ctrl-C, in a signal handler.
    """
    with interruptible(interrupted) as stop, bars("unit") as progress:
        task = progress.add_task(job.kind, total=None, unit="")
        while True:
            progress.update(
                task,
                completed=job.done,
                total=job.total,
                unit=job.unit,
                description=f"{job.kind}: {job.message}",
            )
            if job.finished_at is not None or stop.wait(POLL_SECONDS):
                return job
            job = jobs.get(job.id)
