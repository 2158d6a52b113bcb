"""A worker as a process of its own, with the fake model and a job that never ends by itself."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.jobs.job_kind import JobKind
from app.jobs.kinds import KINDS
from app.jobs.priority import give_way
from app.jobs.process import work_until_stopped
from app.jobs.progress import Progress
from app.services import Services, open_services
from app.settings import Settings
from index import Cancelled, Job, JobQueue
from tests.fakes import colour_loader


def count(_services: Services, _job: Job, progress: Progress) -> dict[str, Any]:
    """Counts to 1,000 a hundredth of a second each, and goes on from where it was."""
    step = (progress.checkpoint or {"step": 0})["step"]
    while step < 1_000:
        step += 1
        progress.keep({"step": step})
        if progress.report(step, 1_000):
            raise Cancelled
        time.sleep(0.01)
    return {}


def never_listen(_services: Services, _job: Job, progress: Progress) -> dict[str, Any]:
    """Is for ever inside of one step."""
    progress.report(1, 2)
    while True:
        time.sleep(1)


COUNTING = JobKind("count", unit="steps", turn=None, run=count)
DEAF = JobKind("deaf", unit="steps", turn=None, run=never_listen)


def main() -> None:
    """Work on a data folder, with leases of so many seconds, until stopped."""
    give_way(7)
    for kind in (COUNTING, DEAF):
        KINDS[kind.name] = kind
    folder = Path(sys.argv[1])
    settings = Settings(data_dir=folder, model="colour", threads=1)
    with open_services(settings, load=colour_loader(folder)) as services:
        jobs = JobQueue(services.database, lease_seconds=float(sys.argv[2]))
        work_until_stopped(replace(services, jobs=jobs), idle_seconds=math.inf)


if __name__ == "__main__":
    main()
