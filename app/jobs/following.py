"""A job from the command line: done here if no other worker takes it, with a bar."""

from __future__ import annotations

import signal
import threading

from rich.console import Console
from rich.progress import Progress

from app.jobs.worker import Worker
from app.services import Services
from index import Job

POLL_SECONDS = 0.2


def do_with_bar(services: Services, job: Job) -> Job:
    """The job as it ended, or as it was left by Ctrl-C, to be continued by another worker."""
    worker = Worker(services)
    stop = threading.Event()

    def interrupt(*_: object) -> None:
        stop.set()
        worker.stop()

    previous = signal.signal(signal.SIGINT, interrupt)
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    try:
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(job.kind, total=None)
            while job.finished_at is None and not stop.wait(POLL_SECONDS):
                job = services.jobs.get(job.id)
                progress.update(task, completed=job.done, total=job.total, description=job.message)
    finally:
        worker.stop()
        thread.join()
        signal.signal(signal.SIGINT, previous)
    return services.jobs.get(job.id)
