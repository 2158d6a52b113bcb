"""The jobs table: one holder at a time, taken over when it dies, never for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from index import Conflict, Database, JobQueue, LeaseLost, migrate


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database."""
    opened = Database(database_url)
    migrate(opened)
    yield opened
    opened.close()


def test_a_job_is_claimed_by_one_worker_only(database: Database) -> None:
    """Eight workers race for five jobs of different kinds: each job has one holder."""
    queue = JobQueue(database)
    for number in range(5):
        queue.enqueue(f"kind-{number}", {}, unit="images")

    def claim(worker: int) -> list[str]:
        held = []
        while (job := queue.claim(f"w{worker}")) is not None:
            held.append(job.id)
        return held

    with ThreadPoolExecutor(8) as pool:
        held = [job for jobs in pool.map(claim, range(8)) for job in jobs]
    assert len(held) == len(set(held)) == 5


def test_jobs_of_one_kind_wait_for_each_other(database: Database) -> None:
    """Two reindexes at once would undo each other: the second waits for the first."""
    queue = JobQueue(database)
    first = queue.enqueue("reindex", {}, unit="images")
    second = queue.enqueue("reindex", {}, unit="images")
    held = queue.claim("a")
    assert held is not None
    assert held.id == first.id
    assert queue.claim("b") is None
    queue.finish(held, "a", "succeeded", message="done")
    taken = queue.claim("b")
    assert taken is not None
    assert taken.id == second.id


def test_a_dead_worker_is_replaced_and_its_late_words_refused(database: Database) -> None:
    """A lease that ran out passes the job on, and the old holder can't write any more."""
    queue = JobQueue(database, lease_seconds=0.05)
    queue.enqueue("reindex", {}, unit="images")
    held = queue.claim("a")
    assert held is not None
    time.sleep(0.1)
    taken = queue.claim("b")
    assert taken is not None
    assert (taken.id, taken.attempts) == (held.id, 2)
    with pytest.raises(LeaseLost):
        queue.finish(held, "a", "succeeded", message="done")
    with pytest.raises(LeaseLost):
        queue.report(held, "a", done=1)
    assert queue.get(held.id).state == "running"


def test_a_job_that_kills_its_worker_three_times_fails(database: Database) -> None:
    """It is not tried for ever, and says why it ended."""
    queue = JobQueue(database, lease_seconds=0.01)
    job = queue.enqueue("reindex", {}, unit="images")
    for _ in range(3):
        assert queue.claim("w") is not None
        time.sleep(0.05)
    assert queue.claim("w") is None
    ended = queue.get(job.id)
    assert ended.state == "failed"
    assert "died 3 times" in ended.message
    assert ended.finished_at is not None


def test_progress_renews_the_lease_and_hears_of_a_cancel(database: Database) -> None:
    """Whoever reports keeps the job, and learns with the answer that it should stop."""
    queue = JobQueue(database, lease_seconds=0.4)
    job = queue.enqueue("reindex", {}, unit="images")
    held = queue.claim("a")
    assert held is not None
    for done in range(4):
        time.sleep(0.15)
        assert queue.report(held, "a", done=done, total=9) is False
    queue.request_cancel(job.id)
    assert queue.report(held, "a", done=5) is True
    seen = queue.get(job.id)
    assert (seen.done, seen.total, seen.cancel_requested) == (5, 9, True)


def test_a_waiting_job_is_cancelled_at_once_and_an_ended_one_not_at_all(
    database: Database,
) -> None:
    """Cancel has one meaning for each state."""
    queue = JobQueue(database)
    job = queue.enqueue("reindex", {}, unit="images")
    assert queue.request_cancel(job.id).state == "cancelled"
    with pytest.raises(Conflict):
        queue.request_cancel(job.id)
    assert queue.claim("a") is None


def test_a_released_job_is_continued_and_not_counted_as_an_attempt(database: Database) -> None:
    """An orderly stop of a worker, however often, never makes a job fail."""
    queue = JobQueue(database)
    queue.enqueue("reindex", {}, unit="images")
    for _ in range(5):
        held = queue.claim("a")
        assert held is not None
        assert held.attempts == 1
        queue.release(held, "a")


def test_pages_of_jobs_show_each_once(database: Database) -> None:
    """Newest first, whatever the page size."""
    queue = JobQueue(database)
    ids = [queue.enqueue("reindex", {}, unit="images").id for _ in range(5)]
    shown: list[str] = []
    cursor = None
    while True:
        page = queue.page(limit=2, cursor=cursor)
        shown += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert shown == ids[::-1]
