"""`/v1/duplicates` and stacked searches, over HTTP."""

from __future__ import annotations

import io
from typing import Any

import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from app.jobs.worker import Worker
from app.services import Services
from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.pictures import copies, encoded, scene

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def three_copies(client: httpx.AsyncClient, seed: int = 1) -> list[str]:
    """The ids of the same picture in three sizes and formats."""
    images = [await upload(client, content) for content in copies(scene(seed))]
    return [image["id"] for image in images]


async def listed(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """The groups of one page."""
    answer = await client.get("/v1/duplicates", params=query)
    assert answer.status_code == 200, answer.text
    groups: list[dict[str, Any]] = strict_json(answer)["items"]
    return groups


async def test_groups_are_listed_decided_about_and_gone(client: httpx.AsyncClient) -> None:
    """Two are kept, one deleted, in one call; nothing is deleted before."""
    ids = await three_copies(client)
    await upload(client, encoded(scene(2)))
    (group,) = await listed(client)
    assert [image["id"] for image in group["images"]] == ids
    assert (group["grade"], group["size"]) == ("same", 3)
    assert {tuple(pair["image_ids"]) for pair in group["pairs"]} <= {
        (ids[0], ids[1]),
        (ids[0], ids[2]),
        (ids[1], ids[2]),
    }
    answer = await client.post(
        "/v1/duplicates/decide", json={"keep": ids[:2], "delete": [ids[2], "gone"]}
    )
    assert strict_json(answer) == {"kept": 1, "deleted": 1}
    assert await listed(client) == []
    assert strict_json(await client.get("/v1/images"))["total"] == 3


async def test_a_job_compares_the_whole_library(app: FastAPI, client: httpx.AsyncClient) -> None:
    """It says what it found."""
    services: Services = app.state.for_tests["services"]
    await three_copies(client)
    answer = await client.post("/v1/admin/find-duplicates")
    assert answer.status_code == 202
    assert await anyio.to_thread.run_sync(Worker(services).run_once)
    job = strict_json(await client.get(answer.headers["location"]))
    assert job["state"] == "succeeded", job
    assert job["result"]["compared"] == 3
    assert (job["result"]["same"], job["result"]["similar"]) == (1, 0)
    assert job["progress"] == {"done": 3, "total": 3, "unit": "images"}


async def test_every_search_can_stack_copies(client: httpx.AsyncClient) -> None:
    """By sentence, by composed query and by picture; without the option nothing is stacked."""
    ids = set(await three_copies(client))
    picture = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(picture, "PNG")
    answers = [
        await client.get("/v1/search", params={"text": "red", "group_duplicates": True}),
        await client.post(
            "/v1/search", json={"query": [{"text": "red"}], "group_duplicates": True}
        ),
        await client.post(
            "/v1/search/image",
            files={"file": picture.getvalue()},
            data={"group_duplicates": "true"},
        ),
    ]
    for answer in answers:
        (hit,) = strict_json(answer)["hits"]
        assert {hit["image"]["id"], *(copy["image"]["id"] for copy in hit["copies"])} == ids
    plain = strict_json(await client.get("/v1/search", params={"text": "red"}))["hits"]
    assert [hit["copies"] for hit in plain] == [[], [], []]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"keep": [], "delete": []},
        {"keep": ["a"], "delete": ["a"]},
        {"keep": ["a"] * 51},
        {"keep": ["a\0"]},
        {"forget": ["a"]},
    ],
)
async def test_a_decision_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """Nothing is kept or deleted for it."""
    assert_problem(await client.post("/v1/duplicates/decide", json=body), 422, "invalid-request")


async def test_what_is_not_there_is_said_to_be_so(client: httpx.AsyncClient) -> None:
    """An unknown id to keep stops the deletion too."""
    image = await upload(client)
    body = {"keep": [image["id"], "nobody"], "delete": ["x"]}
    assert_problem(await client.post("/v1/duplicates/decide", json=body), 404, "not-found")
    assert_problem(await client.get("/v1/duplicates?grade=alike"), 422, "invalid-request")
    assert_problem(await client.get("/v1/duplicates?cursor=x"), 422, "bad-cursor")
