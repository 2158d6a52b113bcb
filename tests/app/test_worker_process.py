"""Workers as real processes: killed, stopped, and deaf; the jobs they held are not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from index import Database, Job, JobQueue, migrate, sqlite_url
from tests.app.worker_process import COUNTING, DEAF

ROOT = Path(__file__).parents[2]
# A bound for a machine that does other things too; nothing here measures time.
SECONDS = 240

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    """The jobs of the data folder that the workers share."""
    folder = tmp_path / "data"
    folder.mkdir()
    database = Database(sqlite_url(folder / "beholder.db"))
    migrate(database)
    yield JobQueue(database)
    database.close()


@pytest.fixture
def start(tmp_path: Path, queue: JobQueue) -> Iterator[Start]:
    """Starts a worker in a session of its own, as `serve` does, and ends what is left."""
    started: list[subprocess.Popen[bytes]] = []

    def begin() -> subprocess.Popen[bytes]:
        with (tmp_path / "worker.log").open("ab") as output:
            # With short leases, so that the next need not wait long for the job of a dead one.
            arguments = ["-m", "tests.app.worker_process", str(tmp_path / "data"), "3"]
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def until(queue: JobQueue, job: Job, condition: Callable[[Job], bool]) -> Job:
    """The job as soon as it is so."""
    deadline = time.monotonic() + SECONDS
    while not condition(seen := queue.get(job.id)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


@pytest.mark.slow
def test_a_killed_workers_job_goes_on_elsewhere_and_a_stopped_ones_too(
    queue: JobQueue, start: Start
) -> None:
    """After kill -9 the next goes on from the checkpoint; SIGTERM hands the job back at once."""
    job = queue.enqueue(COUNTING.name, {}, unit=COUNTING.unit)
    first = start()
    killed_at = until(queue, job, lambda seen: seen.done > 3).done
    first.kill()
    first.wait()
    held = queue.get(job.id)
    assert (held.state, held.attempts) == ("running", 1)

    second = start()
    going_on = until(queue, job, lambda seen: seen.attempts == 2 and seen.done > killed_at)
    assert going_on.leased_by != held.leased_by
    autogroup = Path(f"/proc/{second.pid}/autogroup")
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, second.pid) == min(19, ours + 7)
    if autogroup.exists():
        # Where Linux groups by session, niceness counts between sessions only so.
        assert autogroup.read_text().endswith("nice 7\n")
    second.send_signal(signal.SIGTERM)
    assert second.wait(SECONDS) == 0
    left = queue.get(job.id)
    # In good order: that is no attempt that killed its worker.
    assert (left.state, left.attempts, left.leased_by) == ("queued", 1, None)
    assert left.checkpoint is not None
    assert left.checkpoint["step"] >= going_on.done

    deaf = queue.enqueue(DEAF.name, {}, unit=DEAF.unit)
    queue.pause(job.id, by="the test")
    third = start()
    until(queue, deaf, lambda seen: seen.done == 1)
    queue.request_cancel(deaf.id)
    assert third.wait(SECONDS) == 0
    assert queue.get(deaf.id).state == "cancelled"
