"""A process that does jobs, as `beholder worker` runs it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, wait

from app.jobs.worker import Worker
from app.services import Services

LISTEN_SECONDS = 0.2


def work_until_stopped(services: Services, *, idle_seconds: float) -> None:
    """Do jobs until SIGINT or SIGTERM, or until there was none for so long.

    The job in hand is left to the next worker within two seconds, whatever it is doing: at worst
    this process ends on the spot, as every kind of job survives at any moment.
    """
    worker = Worker(services, end_process=_end_process)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    # Python hears signals in its main thread, between two of its own steps: a main thread that is
    # inside of a long matrix product would hear of them too late.
    with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
        work = pool.submit(worker.run, idle_seconds=idle_seconds)
        while not work.done():
            wait([work], timeout=LISTEN_SECONDS)
    work.result()


def _end_process() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
