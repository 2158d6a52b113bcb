"""`/v1/jobs` and `/v1/admin/reindex`: long work that is seen, stopped, taken over and survived."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI

from app.jobs.worker import Worker
from app.services import Services
from index import Job, JobQueue, LeaseLost, TextPart
from index import Query as SearchQuery
from tests.app.asking import (
    ON_SQLITE,
    assert_problem,
    assert_problem_document,
    strict_json,
    upload,
)
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio


@pytest.fixture
def services_of(app: FastAPI) -> Services:
    """The services that the client's requests are answered by."""
    services: Services = app.state.for_tests["services"]
    return services


async def work_once(services: Services) -> bool:
    """Let a worker do one job, off the event loop as in life."""
    did_something = await anyio.to_thread.run_sync(Worker(services).run_once)
    # A server hears of a promotion within a quarter of a second; the tests do not wait for it.
    await anyio.to_thread.run_sync(services.live.catch_up)
    return did_something


async def started_reindex(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A job that has been accepted."""
    answer = await client.post("/v1/admin/reindex", json=body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = strict_json(answer)
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


async def read_job(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """The job as it is now."""
    job: dict[str, Any] = strict_json(await client.get(f"/v1/jobs/{job_id}"))
    assert set(job["progress"]) == {"done", "total", "unit"}
    if job["problem"] is not None:
        assert_problem_document(job["problem"])
    return job


@contextmanager
def searching(services: Services, expected: set[str]) -> Iterator[list[set[str]]]:
    """A thread that searches all the time; every answer must hold at least these images."""
    answers: list[set[str]] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            try:
                query = SearchQuery(parts=[TextPart("red")], limit=1_000)
                found = {hit.image.id for hit in services.searcher.search(query).hits}
                assert expected <= found, expected - found
                answers.append(found)
            except BaseException as error:  # noqa: BLE001  (it must reach the test)
                failures.append(error)
                return
            stop.wait(0.01)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()
    assert failures == []


async def test_a_reindex_is_done_by_a_worker_and_seen_by_its_job(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """Queued, running, succeeded, with progress and a result, and its version is live then."""
    ids = {(await upload(client, picture_bytes(seed=n)))["id"] for n in range(5)}
    before = strict_json(await client.get("/v1/models"))["items"]
    assert [version["state"] for version in before] == ["live"]
    job = await started_reindex(client)
    assert (job["kind"], job["state"]) == ("reindex", "queued")
    assert job["started_at"] is job["finished_at"] is None
    with searching(services_of, ids) as answers:
        assert await work_once(services_of)
    assert answers
    done = await read_job(client, job["id"])
    assert done["state"] == "succeeded", done
    assert done["progress"] == {"done": 5, "total": 5, "unit": "images"}
    assert done["result"]["embedded"] == 5
    assert done["result"]["failed"] == 0
    assert done["created_at"] <= done["started_at"] <= done["finished_at"]
    versions = strict_json(await client.get("/v1/models"))["items"]
    states = {version["id"]: version["state"] for version in versions}
    assert states == {done["result"]["model_version"]: "live", before[0]["id"]: "retired"}
    one = strict_json(await client.get(f"/v1/models/{done['result']['model_version']}"))
    assert one in versions
    found = strict_json(await client.get("/v1/search", params={"text": "red"}))
    assert found["model_version"] == done["result"]["model_version"]
    assert {hit["image"]["id"] for hit in found["hits"]} == ids
    assert not await work_once(services_of)


async def test_images_uploaded_during_a_reindex_are_found_after_it(
    client: httpx.AsyncClient, services_of: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads, deletions and searches go on while it runs, and none is lost by the switch."""
    monkeypatch.setattr("index.reembedding.IMAGES_PER_CLAIM", 2)
    ids = [(await upload(client, picture_bytes(seed=n)))["id"] for n in range(8)]
    job = await started_reindex(client)
    working = threading.Event()
    embed = services_of.live.generation.queue.encoder.embed_pixels

    def slow(pixels: Any) -> Any:
        if threading.current_thread().name.startswith("embed-"):
            working.set()
        return embed(pixels)

    services_of.live.generation.queue.encoder.embed_pixels = slow  # type: ignore[method-assign]
    with searching(services_of, set(ids[1:])) as answers:
        async with anyio.create_task_group() as group:
            group.start_soon(work_once, services_of)
            await anyio.to_thread.run_sync(working.wait)
            added = [
                (await upload(client, picture_bytes(seed=seed)))["id"] for seed in range(20, 26)
            ]
            assert (await client.delete(f"/v1/images/{ids[0]}")).status_code == 204
    assert answers
    done = await read_job(client, job["id"])
    assert done["state"] == "succeeded", done
    expected = {*ids[1:], *added}
    for params in ({"text": "red"}, {"text": "blue"}):
        found = strict_json(await client.get("/v1/search", params=params))
        assert found["model_version"] == done["result"]["model_version"]
        assert {hit["image"]["id"] for hit in found["hits"]} == expected
    like = {"query": [{"image_id": added[-1]}]}
    assert (await client.post("/v1/search", json=like)).status_code == 200


async def test_images_whose_file_is_bad_fail_alone(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """A missing and a damaged file are named with a reason, and the job ends well."""
    images = [await upload(client, picture_bytes(seed=n), name=f"{n}.png") for n in range(5)]
    services_of.blobs.path(images[1]["sha256"]).unlink()
    services_of.blobs.path(images[3]["sha256"]).write_bytes(b"no picture any more")
    job = await started_reindex(client)
    assert await work_once(services_of)
    done = await read_job(client, job["id"])
    assert done["state"] == "succeeded"
    assert "2 errors" in done["message"]
    assert done["result"]["failed"] == 2
    failures = {failure["image_id"]: failure for failure in done["result"]["failures"]}
    assert set(failures) == {images[1]["id"], images[3]["id"]}
    assert all(failure["reason"] for failure in failures.values())
    assert {failure["filename"] for failure in failures.values()} == {"1.png", "3.png"}
    # Where files lie is nobody's business.
    assert str(services_of.settings.data_dir) not in str(done)
    found = strict_json(await client.get("/v1/search", params={"text": "red"}))
    assert {images[0]["id"], images[2]["id"], images[4]["id"]} <= {
        hit["image"]["id"] for hit in found["hits"]
    }


@ON_SQLITE
async def test_a_small_queue_does_not_fail_a_reindex(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """More images in a batch than the model's queue takes are embedded all the same."""
    ids = {(await upload(client, picture_bytes(seed=n)))["id"] for n in range(12)}
    services_of.live.generation.queue._max_waiting = 3
    job = await started_reindex(client)
    assert await work_once(services_of)
    done = await read_job(client, job["id"])
    assert done["state"] == "succeeded", done
    found = strict_json(await client.get("/v1/search", params={"text": "red"}))
    assert {hit["image"]["id"] for hit in found["hits"]} == ids


async def test_a_waiting_job_is_cancelled_at_once(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """It ends without having begun, cannot be cancelled twice, and no worker does it."""
    job = await started_reindex(client)
    answer = await client.post(f"/v1/jobs/{job['id']}/cancel")
    assert answer.status_code == 202
    cancelled = strict_json(answer)
    assert cancelled["state"] == "cancelled"
    assert cancelled["cancel_requested"] is True
    assert cancelled["finished_at"] is not None
    assert_problem(await client.post(f"/v1/jobs/{job['id']}/cancel"), 409, "conflict")
    assert not await work_once(services_of)


@ON_SQLITE
async def test_a_running_job_is_cancelled_soon(
    client: httpx.AsyncClient, services_of: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker hears of it at its next report; searches are answered by the version before."""
    monkeypatch.setattr("app.jobs.progress.BEAT_SECONDS", 0.02)
    monkeypatch.setattr("index.reembedding.IMAGES_PER_CLAIM", 1)
    for seed in range(4):
        await upload(client, picture_bytes(seed=seed))
    live = services_of.live.generation
    job = await started_reindex(client)
    working = threading.Event()
    heard = threading.Event()
    embed = live.queue.encoder.embed_pixels
    get = services_of.jobs.get

    def until_heard(pixels: Any) -> Any:
        working.set()
        heard.wait()
        return embed(pixels)

    def listening(job_id: str) -> Job:
        job = get(job_id)
        if job.cancel_requested and threading.current_thread().name.startswith("lease-"):
            heard.set()
        return job

    monkeypatch.setattr(services_of.jobs, "get", listening)
    live.queue.encoder.embed_pixels = until_heard  # type: ignore[method-assign]
    async with anyio.create_task_group() as group:
        group.start_soon(work_once, services_of)
        await anyio.to_thread.run_sync(working.wait)
        assert (await client.post(f"/v1/jobs/{job['id']}/cancel")).status_code == 202
    done = await read_job(client, job["id"])
    assert done["state"] == "cancelled"
    assert done["progress"]["done"] < 4
    assert services_of.live.generation.version.id == live.version.id


async def test_a_paused_job_tells_by_whom_and_since_when(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """It waits whatever comes, is paused once, and goes on after one call."""
    job = await started_reindex(client)
    url = f"/v1/jobs/{job['id']}"
    answer = await client.post(f"{url}/pause", json={"by": "ana"})
    assert answer.status_code == 202
    paused = strict_json(answer)
    assert paused["state"] == "queued"
    assert paused["paused"]["by"] == "ana"
    assert paused["created_at"] <= paused["paused"]["at"] == paused["updated_at"]
    assert not await work_once(services_of)
    problem = assert_problem(await client.post(f"{url}/pause"), 409, "conflict")
    assert "ana" in problem["detail"]
    answer = await client.post(f"{url}/resume")
    assert answer.status_code == 202
    assert strict_json(answer)["paused"] is None
    assert_problem(await client.post(f"{url}/resume"), 409, "conflict")
    assert await work_once(services_of)
    assert (await read_job(client, job["id"]))["state"] == "succeeded"
    assert_problem(await client.post(f"{url}/pause"), 409, "conflict")
    other = await started_reindex(client)
    # Whoever does not say who they are is known by their address.
    answer = await client.post(f"/v1/jobs/{other['id']}/pause")
    assert strict_json(answer)["paused"]["by"] == "127.0.0.1"
    for body in ({"by": ""}, {"by": "a" * 101}, {"by": "\0"}, {"why": "x"}):
        assert_problem(await client.post(f"{url}/pause", json=body), 422, "invalid-request")


async def test_a_job_whose_worker_fell_silent_is_taken_over_three_times_at_most(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """An expired lease lets the next worker in; the one before may write nothing any more."""
    job_id = (await started_reindex(client))["id"]
    impatient = JobQueue(services_of.database, lease_seconds=-1)
    held: list[Job] = []
    for attempt in range(1, 4):
        job = impatient.claim(f"worker {attempt}")
        assert job is not None
        assert (job.id, job.attempts) == (job_id, attempt)
        held.append(job)
    for job, name in zip(held, ["worker 1", "worker 2"], strict=False):
        with pytest.raises(LeaseLost):
            impatient.report(job, name, done=1)
        with pytest.raises(LeaseLost):
            impatient.finish(job, name, "succeeded", message="too late")
        with pytest.raises(LeaseLost):
            impatient.release(job, name)
    assert impatient.claim("worker 4") is None
    failed = await read_job(client, job_id)
    assert failed["state"] == "failed"
    assert failed["problem"]["detail"]
    assert failed["message"] != "running"
    assert failed["finished_at"] is not None


async def test_a_job_that_is_held_is_done_by_nobody_else(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """One reindex at a time: the second waits until the first is done."""
    first = await started_reindex(client)
    second = await started_reindex(client)
    claimed = services_of.jobs.claim("slow worker")
    assert claimed is not None
    assert claimed.id == first["id"]
    assert services_of.jobs.claim("other worker") is None
    services_of.jobs.release(claimed, "slow worker")
    assert await work_once(services_of)
    assert await work_once(services_of)
    assert (await read_job(client, first["id"]))["state"] == "succeeded"
    assert (await read_job(client, second["id"]))["state"] == "succeeded"


@ON_SQLITE
async def test_a_worker_that_is_stopped_leaves_the_job_to_the_next(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """What is interrupted goes back into the queue and is then done wholly."""
    for seed in range(3):
        await upload(client, picture_bytes(seed=seed))
    job = await started_reindex(client)
    stopped = Worker(services_of)
    stopped.stop()
    await anyio.to_thread.run_sync(stopped.run_once)
    assert (await read_job(client, job["id"]))["state"] == "queued"
    assert await work_once(services_of)
    assert (await read_job(client, job["id"]))["state"] == "succeeded"


@ON_SQLITE
async def test_a_job_that_cannot_be_done_fails_with_a_problem(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """The reason is in the job, in the shape that every problem has."""
    job = await started_reindex(client)
    services_of.versions.discard(
        next(v.id for v in services_of.versions.all() if v.state == "building")
    )
    assert await work_once(services_of)
    failed = await read_job(client, job["id"])
    assert failed["state"] == "failed"
    assert failed["problem"]["type"] == "urn:beholder:problem:not-found"
    assert failed["result"] is None


@ON_SQLITE
async def test_a_reindex_of_the_wrong_version_is_refused(client: httpx.AsyncClient) -> None:
    """The live version, an unknown one and nonsense make no job."""
    live = strict_json(await client.get("/v1/models"))["items"][0]["id"]
    for body, status, name in [
        ({"model_version": live}, 409, "conflict"),
        ({"model_version": "no such version"}, 404, "not-found"),
        ({"model_version": "a\0"}, 422, "invalid-request"),
        ({"model_version": 1}, 422, "invalid-request"),
        ({"version": live}, 422, "invalid-request"),
        ([], 422, "invalid-request"),
    ]:
        answer = await client.post("/v1/admin/reindex", json=body)
        assert_problem(answer, status, name)
    assert strict_json(await client.get("/v1/jobs")) == {"items": [], "next_cursor": None}
    # Without a body it is a reindex to a fresh version.
    assert (await client.post("/v1/admin/reindex")).status_code == 202


@ON_SQLITE
async def test_jobs_are_listed_newest_first_in_pages(client: httpx.AsyncClient) -> None:
    """Each once, whatever the page's size."""
    ids = [(await started_reindex(client))["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = strict_json(await client.get("/v1/jobs", params=params))
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids[::-1]
