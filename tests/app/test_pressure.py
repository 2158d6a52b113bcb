"""Back-pressure: what can't be taken is refused in time, and nothing that was taken is lost."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI

from app.services import Services
from app.settings import Settings
from index import DatabaseUnavailable
from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.pictures import picture_bytes

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The same, with room for four in the queue and six uploads at once."""
    return settings.model_copy(update={"max_waiting": 4, "max_uploads_at_once": 6})


class Gate:
    """Holds every forward pass back until it is opened."""

    def __init__(self, services: Services) -> None:
        self.is_reached = threading.Event()
        self._opened = threading.Event()
        encoder = services.live.generation.queue.encoder
        self._embed = encoder.embed_pixels
        encoder.embed_pixels = self._wait  # type: ignore[method-assign]

    def open(self) -> None:
        """Let everything through from now on."""
        self._opened.set()

    def _wait(self, pixels: Any) -> Any:
        self.is_reached.set()
        self._opened.wait()
        return self._embed(pixels)


@pytest.fixture
def gate(app: FastAPI) -> Any:
    """A gate before the model, opened at the end whatever happened."""
    gate = Gate(app.state.for_tests["services"])
    yield gate
    gate.open()


async def test_uploads_beyond_the_bound_are_told_to_come_again(
    client: httpx.AsyncClient, gate: Gate
) -> None:
    """Some are taken and all of those are stored; the rest get 503 with a time, and may retry."""
    answers: dict[int, httpx.Response] = {}

    async def send(number: int) -> None:
        file = {"file": (f"{number}.png", picture_bytes(seed=number))}
        answers[number] = await client.post("/v1/images", files=file)
        if len(answers) == 14:
            gate.open()

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(send, number)
    refused = {n: answer for n, answer in answers.items() if answer.status_code != 201}
    assert len(refused) >= 14
    for answer in refused.values():
        assert_problem(answer, 503, "busy")
    taken = {strict_json(answers[n])["id"] for n in answers if n not in refused}
    assert taken
    listed = strict_json(await client.get("/v1/images"))
    assert {image["id"] for image in listed["items"]} == taken
    for number in refused:
        assert (await upload(client, picture_bytes(seed=number)))["created"] is True
    assert strict_json(await client.get("/v1/images"))["total"] == 20


async def test_the_service_answers_while_the_model_is_busy(
    client: httpx.AsyncClient, gate: Gate
) -> None:
    """Health, listings and single images do not wait for a forward pass."""
    async with anyio.create_task_group() as group:
        group.start_soon(upload, client)
        await anyio.to_thread.run_sync(gate.is_reached.wait)
        with anyio.fail_after(30):
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
            assert strict_json(await client.get("/v1/images"))["total"] == 0
            assert (await client.get("/metrics")).status_code == 200
            assert_problem(await client.get("/v1/images/none"), 404, "not-found")
        gate.open()
    assert strict_json(await client.get("/v1/images"))["total"] == 1


async def test_a_batch_larger_than_the_queue_is_stored_wholly_or_says_what_is_not(
    client: httpx.AsyncClient,
) -> None:
    """Files that found no room are rejected as busy; sent again, they are stored."""
    files = [("files", (f"{n}.png", picture_bytes(seed=n))) for n in range(16)]
    missing = files
    for _ in range(16):
        items = strict_json(await client.post("/v1/images/batch", files=missing))["items"]
        again = [
            file for file, item in zip(missing, items, strict=True) if item["status"] == "rejected"
        ]
        for item in items:
            if item["status"] == "rejected":
                assert item["problem"]["status"] == 503
        missing = again
        if not missing:
            break
    assert missing == []
    assert strict_json(await client.get("/v1/images"))["total"] == 16


async def test_a_database_without_a_free_connection_is_unavailable(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting in vain for a connection is a 503 like any other silence of the database."""
    services: Services = app.state.for_tests["services"]
    pool = services.database.engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.01)
    held = [services.database.engine.connect() for _ in range(pool.size() + pool._max_overflow)]
    try:
        with pytest.raises(DatabaseUnavailable), services.database.reading() as session:
            session.connection()
    finally:
        for connection in held:
            connection.close()
