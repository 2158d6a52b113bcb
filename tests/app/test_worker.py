"""The worker: what becomes of a job in hand when it is stopped, cancelled, paused, or unlucky."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from app.jobs import progress as progress_module
from app.jobs import worker as worker_module
from app.jobs.job_kind import JobKind
from app.jobs.kinds import KINDS
from app.jobs.progress import Progress
from app.jobs.worker import Worker
from app.services import Services
from index import Cancelled, DatabaseUnavailable, Job, StorageFull
from tests.app.asking import assert_problem_document

# A bound for a machine that does other things too; nothing here measures time.
SECONDS = 60
Run = Callable[[Services, Job, Progress], dict[str, Any]]


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], JobKind]:
    """Makes a kind of job out of what it does."""
    monkeypatch.setattr(progress_module, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(progress_module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(worker_module, "DATABASE_RETRY_SECONDS", 0.05)

    def make(run: Run) -> JobKind:
        made = JobKind("test", unit="steps", turn="test", run=run)
        monkeypatch.setitem(KINDS, made.name, made)
        return made

    return make


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def working(worker: Worker) -> Iterator[threading.Thread]:
    """The worker at work in a thread that ends with the block."""
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()


def polite(services: Services, job: Job, progress: Progress) -> dict[str, Any]:
    """Goes on until it is to stop."""
    step = (progress.checkpoint or {"step": 0})["step"]
    while True:
        step += 1
        progress.keep({"step": step})
        if progress.report(step, 1_000, message=f"step {step}"):
            raise Cancelled
        time.sleep(0.01)


@pytest.mark.parametrize("wish", ["cancel", "pause", "stop"])
def test_a_job_in_hand_hears_of_each_wish(
    services: Services, kind: Callable[[Run], JobKind], wish: str
) -> None:
    """Cancelled for good; paused or left by its worker, it goes on later from its checkpoint."""
    job = kind(polite).enqueue(services, {})
    worker = Worker(services)
    with working(worker):
        until(lambda: services.jobs.get(job.id).done > 2)
        if wish == "cancel":
            services.jobs.request_cancel(job.id)
        elif wish == "pause":
            services.jobs.pause(job.id, by="ana")
        else:
            worker.stop()
        until(lambda: services.jobs.get(job.id).state != "running")
    left = services.jobs.get(job.id)
    assert left.state == ("cancelled" if wish == "cancel" else "queued")
    assert left.checkpoint is not None
    assert left.checkpoint["step"] >= left.done > 2
    if wish == "cancel":
        assert not services.jobs.is_claimable()
        return
    # Leaving in good order is no attempt that failed.
    assert left.attempts == 0
    if wish == "pause":
        assert left.message == "paused by ana"
        services.jobs.resume(job.id)
    before = left.checkpoint["step"]
    with working(Worker(services)):
        until(lambda: services.jobs.get(job.id).done > before)
    assert services.jobs.get(job.id).done > before


@pytest.mark.parametrize("wish", ["cancel", "stop"])
def test_a_job_that_does_not_stop_is_left_with_its_process(
    services: Services, kind: Callable[[Run], JobKind], wish: str
) -> None:
    """Its row is settled first: then the process may end on the spot, whatever the job does."""
    may_end = threading.Event()

    def deaf(_services: Services, _job: Job, progress: Progress) -> dict[str, Any]:
        progress.report(1, 9)
        may_end.wait(SECONDS)
        return {}

    settled: list[str] = []
    job = kind(deaf).enqueue(services, {})

    def end_process() -> None:
        settled.append(services.jobs.get(job.id).state)

    worker = Worker(services, end_process=end_process)
    thread = threading.Thread(target=worker.run)
    thread.start()
    until(lambda: services.jobs.get(job.id).done == 1)
    if wish == "cancel":
        services.jobs.request_cancel(job.id)
    else:
        worker.stop()
    until(lambda: bool(settled))
    assert settled == ["cancelled" if wish == "cancel" else "queued"]
    assert services.jobs.get(job.id).attempts == (1 if wish == "cancel" else 0)
    # Nothing that the job says afterwards counts.
    may_end.set()
    worker.stop()
    thread.join(SECONDS)
    assert services.jobs.get(job.id).state == settled[0]


def test_a_fault_of_ours_ends_the_job_and_not_the_worker(
    services: Services, kind: Callable[[Run], JobKind]
) -> None:
    """An error that nobody foresaw is in the log; its text is not in the job."""

    def faulty(_services: Services, _job: Job, _progress: Progress) -> dict[str, Any]:
        raise ZeroDivisionError("a secret")

    first = kind(faulty).enqueue(services, {})
    second = KINDS["test"].enqueue(services, {})
    worker = Worker(services)
    assert worker.run_once()
    assert worker.run_once()
    for job in (first, second):
        failed = services.jobs.get(job.id)
        assert failed.state == "failed"
        assert failed.problem is not None
        assert_problem_document(failed.problem)
        assert failed.problem["type"] == "urn:beholder:problem:internal"
        assert "secret" not in failed.message + str(failed.problem)


def test_a_failure_on_purpose_names_its_reason(
    services: Services, kind: Callable[[Run], JobKind]
) -> None:
    """Its problem is what a request would have been answered."""

    def full(services: Services, _job: Job, _progress: Progress) -> dict[str, Any]:
        raise StorageFull(services.settings.data_dir / "x", "No space left on device")

    job = kind(full).enqueue(services, {})
    assert Worker(services).run_once()
    failed = services.jobs.get(job.id)
    assert failed.state == "failed"
    assert failed.problem is not None
    assert failed.problem["type"] == "urn:beholder:problem:storage-full"
    assert "No space left" in failed.message
    assert str(services.settings.data_dir) not in str(failed.problem)


def test_an_end_is_written_when_the_database_is_back(
    services: Services, kind: Callable[[Run], JobKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work of a job is not done again because the database was away at its last word."""
    runs: list[int] = []

    def brief(_services: Services, _job: Job, _progress: Progress) -> dict[str, Any]:
        runs.append(1)
        return {"failed": 2, "message": "done"}

    job = kind(brief).enqueue(services, {})
    finish = services.jobs.finish
    refusals = iter([True, True, False])

    def sometimes(*arguments: Any, **options: Any) -> None:
        if next(refusals):
            raise DatabaseUnavailable("it restarts")
        finish(*arguments, **options)

    monkeypatch.setattr(services.jobs, "finish", sometimes)
    assert Worker(services).run_once()
    ended = services.jobs.get(job.id)
    assert (ended.state, ended.message) == ("succeeded", "done with 2 errors")
    assert runs == [1]


def test_a_job_that_loses_the_database_is_tried_again_but_not_for_ever(
    services: Services, kind: Callable[[Run], JobKind]
) -> None:
    """A database that answers everyone but this job ends it, with the reason, at the third time."""
    runs: list[int] = []

    def unlucky(_services: Services, _job: Job, _progress: Progress) -> dict[str, Any]:
        runs.append(1)
        raise DatabaseUnavailable("the table is locked")

    job = kind(unlucky).enqueue(services, {})
    worker = Worker(services)
    for _ in range(3):
        assert worker.run_once()
    assert not worker.run_once()
    assert len(runs) == 3
    failed = services.jobs.get(job.id)
    assert failed.state == "failed"
    assert "the table is locked" in failed.message


@contextmanager
def database_away(services: Services) -> Iterator[None]:
    """No connection to the services' PostgreSQL database for the time of the block."""
    url = services.database.url
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": url.database},
        )
        yield
        connection.execute(text(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true"))
    engine.dispose()


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_a_database_that_goes_away_costs_no_job(
    services: Services, kind: Callable[[Run], JobKind]
) -> None:
    """Cut off in the middle, the job goes on from its checkpoint when the database is back."""
    starts: list[int] = []

    def long(services: Services, _job: Job, progress: Progress) -> dict[str, Any]:
        first = (progress.checkpoint or {"step": 0})["step"]
        starts.append(first)
        for step in range(first, 200):
            with services.database.writing() as session:
                session.execute(text("SELECT 1"))
            progress.keep({"step": step})
            progress.report(step + 1, 200)
            time.sleep(0.005)
        return {}

    job = kind(long).enqueue(services, {})
    with working(Worker(services)):
        until(lambda: services.jobs.get(job.id).done > 5)
        with database_away(services):
            time.sleep(1)
        until(lambda: services.jobs.get(job.id).finished_at is not None)
    ended = services.jobs.get(job.id)
    assert ended.state == "succeeded"
    assert (ended.done, ended.attempts) == (200, 1)
    assert starts[0] == 0
    assert len(starts) == 2
    assert starts[1] > 0
