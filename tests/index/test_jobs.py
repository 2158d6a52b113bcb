"""The jobs table: one holder at a time, taken over when it dies, never for ever."""

from __future__ import annotations

import threading
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
    """Eight workers race for five jobs: each job has one holder."""
    queue = JobQueue(database)
    for _ in range(5):
        queue.enqueue("evaluate", {}, unit="images")

    def claim(worker: int) -> list[str]:
        held = []
        while (job := queue.claim(f"w{worker}")) is not None:
            held.append(job.id)
        return held

    with ThreadPoolExecutor(8) as pool:
        held = [job for jobs in pool.map(claim, range(8)) for job in jobs]
    assert len(held) == len(set(held)) == 5


def test_jobs_of_one_turn_wait_for_each_other_and_say_so(database: Database) -> None:
    """A fine-tune and a reindex would undo each other: the second waits, others do not."""
    queue = JobQueue(database)
    first = queue.enqueue("reindex", {}, unit="images", turn="models")
    second = queue.enqueue("fine-tune", {}, unit="steps", turn="models")
    assert queue.get(second.id).message == "waiting for a worker"
    held = queue.claim("a")
    assert held is not None
    assert held.id == first.id
    assert queue.claim("b") is None
    assert not queue.is_claimable()
    waits = f"waiting for the reindex {first.id} to end"
    assert queue.get(second.id).message == waits
    assert [job.message for job in queue.page(limit=2, cursor=None).jobs] == [waits, "running"]
    third = queue.enqueue("import", {}, unit="files", turn="import")
    other = queue.claim("b")
    assert other is not None
    assert other.id == third.id
    queue.finish(held, "a", "succeeded", message="done")
    assert queue.get(second.id).message == "waiting for a worker"
    taken = queue.claim("b")
    assert taken is not None
    assert taken.id == second.id


def test_jobs_of_one_turn_never_run_together(database: Database) -> None:
    """Eight workers race for ten jobs of one turn: whoever holds one holds the only one."""
    queue = JobQueue(database)
    for _ in range(10):
        queue.enqueue("reindex", {}, unit="images", turn="models")
    at_once: list[int] = []
    holding = [0]
    lock = threading.Lock()

    def work(worker: int) -> int:
        did = 0
        while True:
            job = queue.claim(f"w{worker}")
            if job is None:
                if not any(
                    one.finished_at is None for one in queue.page(limit=50, cursor=None).jobs
                ):
                    return did
                continue
            with lock:
                holding[0] += 1
                at_once.append(holding[0])
            did += 1
            with lock:
                holding[0] -= 1
            queue.finish(job, f"w{worker}", "succeeded", message="done")

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 10
    assert set(at_once) == {1}


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
    queue = JobQueue(database, lease_seconds=0.2)
    job = queue.enqueue("reindex", {}, unit="images")
    for done in range(3):
        held = queue.claim("w")
        assert held is not None
        queue.report(held, "w", done=done, total=9)
        time.sleep(0.25)
    assert queue.claim("w") is None
    ended = queue.get(job.id)
    assert ended.state == "failed"
    assert ended.message == "its worker died 3 times, at last at 2 of 9 images"
    assert ended.finished_at is not None


def test_progress_renews_the_lease_and_hears_of_a_cancel(database: Database) -> None:
    """Whoever reports keeps the job, and learns with the answer that it should stop."""
    queue = JobQueue(database, lease_seconds=0.4)
    job = queue.enqueue("reindex", {}, unit="images")
    held = queue.claim("a")
    assert held is not None
    for done in range(4):
        time.sleep(0.15)
        assert not queue.report(held, "a", done=done, total=9).is_to_stop
    queue.request_cancel(job.id)
    assert queue.report(held, "a", done=5).is_to_stop
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


def test_a_job_that_fails_again_and_again_is_given_up_with_its_reason(database: Database) -> None:
    """What a worker could not do for a reason that may pass is tried three times."""
    queue = JobQueue(database)
    job = queue.enqueue("reindex", {}, unit="images")
    for _ in range(3):
        held = queue.claim("w")
        assert held is not None
        queue.release(held, "w", failure="the table is locked")
    assert queue.claim("w") is None
    ended = queue.get(job.id)
    assert (ended.state, ended.message) == ("failed", "given up: the table is locked")


def test_a_clock_that_steps_back_does_not_keep_a_dead_workers_job(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that nobody renews ends by the clock of whoever waits, whatever the table says."""
    queue = JobQueue(database, lease_seconds=3_600)
    queue.enqueue("reindex", {}, unit="images")
    assert queue.claim("dead") is not None
    # As seen by those who wait, whose clock was set back after the lease was written.
    waiting = JobQueue(database, lease_seconds=0.1)
    assert waiting.claim("b") is None
    time.sleep(0.15)
    assert waiting.is_claimable()
    taken = waiting.claim("b")
    assert taken is not None
    assert taken.leased_by == "b"


def test_a_lease_that_is_renewed_is_never_taken_for_a_silent_one(database: Database) -> None:
    """Each sign of life starts the waiting anew."""
    queue = JobQueue(database, lease_seconds=3_600)
    queue.enqueue("reindex", {}, unit="images")
    held = queue.claim("alive")
    assert held is not None
    waiting = JobQueue(database, lease_seconds=0.4)
    for done in range(4):
        assert not waiting.is_claimable()
        time.sleep(0.15)
        queue.report(held, "alive", done=done)
    assert waiting.claim("b") is None


def test_a_paused_job_tells_by_whom_and_waits_until_it_is_resumed(database: Database) -> None:
    """Whatever becomes of the one who paused it, one call lets it go on."""
    queue = JobQueue(database)
    job = queue.enqueue("reindex", {}, unit="images", turn="models")
    held = queue.claim("a")
    assert held is not None
    paused = queue.pause(job.id, by="ana")
    assert (paused.paused_by, paused.state) == ("ana", "running")
    assert paused.paused_at is not None
    assert paused.paused_at >= paused.created_at
    with pytest.raises(Conflict, match="ana"):
        queue.pause(job.id, by="bo")
    assert queue.report(held, "a", done=3).is_to_stop
    queue.release(held, "a")
    assert JobQueue(database).claim("b") is None
    assert queue.get(job.id).message == "paused by ana"
    # It keeps nobody else from working.
    other = queue.enqueue("fine-tune", {}, unit="steps", turn="models")
    taken = queue.claim("b")
    assert taken is not None
    assert taken.id == other.id
    queue.finish(taken, "b", "succeeded", message="done")
    resumed = JobQueue(database).resume(job.id)
    assert (resumed.paused_by, resumed.paused_at) == (None, None)
    with pytest.raises(Conflict):
        queue.resume(job.id)
    taken = queue.claim("c")
    assert taken is not None
    assert (taken.id, taken.done, taken.attempts) == (job.id, 3, 1)


@pytest.mark.parametrize("wish", ["cancel", "pause"])
def test_a_worker_that_died_before_it_heard_leaves_no_job_running(
    database: Database, wish: str
) -> None:
    """A cancel or a pause is honoured for a job whose worker is gone, without a new one."""
    queue = JobQueue(database, lease_seconds=0.05)
    job = queue.enqueue("reindex", {}, unit="images", turn="models")
    assert queue.claim("dead") is not None
    if wish == "cancel":
        queue.request_cancel(job.id)
    else:
        queue.pause(job.id, by="ana")
    time.sleep(0.1)
    assert queue.claim("b") is None
    seen = queue.get(job.id)
    assert seen.state == ("cancelled" if wish == "cancel" else "queued")
    assert seen.leased_by is None


def test_checkpoint_and_records_outlive_the_worker(database: Database) -> None:
    """The next worker finds what the dead one kept; the log goes on after it."""
    queue = JobQueue(database, lease_seconds=0.05)
    job = queue.enqueue("fine-tune", {}, unit="steps")
    held = queue.claim("a")
    assert held is not None
    assert held.checkpoint is None
    for step in range(3):
        queue.record(held, "a", "curve", {"step": step})
    queue.keep(held, "a", {"phase": "reindex"})
    time.sleep(0.1)
    taken = queue.claim("b")
    assert taken is not None
    assert taken.checkpoint == {"phase": "reindex"}
    with pytest.raises(LeaseLost):
        queue.record(held, "a", "curve", {"step": 99})
    with pytest.raises(LeaseLost):
        queue.keep(held, "a", {"phase": "too late"})
    queue.record(taken, "b", "curve", {"step": 3})
    records = queue.records(job.id, after=0, limit=10)
    assert [record.data["step"] for record in records] == [0, 1, 2, 3]
    assert queue.records(job.id, after=records[1].number, limit=1) == [records[2]]
