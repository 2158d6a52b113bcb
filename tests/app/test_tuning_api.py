"""Fine-tuning and evaluating over HTTP, from pairs to a promoted version, by a tiny model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api.problems import problem_of
from app.jobs import fine_tune
from app.jobs.worker import Worker
from app.main import create_app
from app.services import Services
from app.settings import Settings
from index import NotBetter
from tests.app.asking import assert_problem, strict_json
from tests.model import tiny
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio

COLOURS = {
    "red car": (230, 20, 20),
    "dog": (20, 200, 40),
    "cat": (30, 30, 230),
    "beach": (230, 220, 50),
}
IMAGES = 40


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    """The application with the tiny model and the model layer's own loader."""
    tiny.write(tmp_path / "tiny.safetensors")
    settings = Settings(
        data_dir=tmp_path / "data", model=str(tmp_path / "tiny.safetensors"), threads=1
    )
    application = create_app(settings)
    async with application.router.lifespan_context(application) as state:
        application.state.for_tests = state
        yield application


@pytest.fixture
def services(app: FastAPI) -> Services:
    """What the application works with."""
    opened: Services = app.state.for_tests["services"]
    return opened


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that application, whose store has pairs of every colour."""

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(app.state.for_tests)}, receive, send)

    transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://beholder.test") as opened:
        yield opened


async def with_pairs(client: httpx.AsyncClient) -> None:
    """Pictures of four colours, each with the name of its colour as a text."""
    pairs = []
    for number in range(IMAGES):
        name, colour = list(COLOURS.items())[number % len(COLOURS)]
        data = picture_bytes(colour, size=(32 + number, 40), seed=number)
        image = strict_json(await client.post("/v1/images", files={"file": data}))
        pairs.append({"image_id": image["id"], "text": name})
    added = strict_json(await client.post("/v1/pairs", json={"pairs": pairs}))
    assert added["added"] == IMAGES


async def worked(client: httpx.AsyncClient, services: Services, call: str, **body: Any) -> Any:
    """The job that a call made, after a worker has done it."""
    answer = await client.post(f"/v1/admin/{call}", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{strict_json(answer)['id']}"
    assert await anyio.to_thread.run_sync(Worker(services).run_once)
    await anyio.to_thread.run_sync(services.live.catch_up)
    return strict_json(await client.get(answer.headers["location"]))


async def test_fine_tune_to_live_and_back_is_one_request_and_another(
    client: httpx.AsyncClient, services: Services
) -> None:
    """Trained, registered, reindexed, evaluated and promoted; then taken back in one call."""
    await with_pairs(client)
    (first,) = strict_json(await client.get("/v1/models"))["items"]
    job = await worked(
        client, services, "fine-tune", promote="always", steps=20, allowed={"agreement": 1}
    )
    assert job["state"] == "succeeded", job
    result = job["result"]
    assert (result["promoted"], result["failed"]) == (True, 0)
    version = strict_json(await client.get(f"/v1/models/{result['model_version']}"))
    assert (version["state"], version["origin"]) == ("live", "fine-tune")
    fine_tuned, evaluation = version["metrics"]["fine_tune"], version["metrics"]["evaluation"]
    assert (fine_tuned["job"], fine_tuned["start"]) == (job["id"], first["id"])
    assert fine_tuned["steps"] == 20
    assert evaluation["against"] == first["id"]
    assert evaluation == result["evaluation"]
    assert evaluation["general"]["images"] == IMAGES
    found = strict_json(await client.get("/v1/search", params={"text": "a dog"}))
    assert (found["model_version"], len(found["hits"])) == (version["id"], IMAGES)
    back = strict_json(await client.post("/v1/models/rollback"))
    assert back["id"] == first["id"]
    # What a run needed on its way is gone when it has ended.
    assert not any(fine_tune.runs_folder(services).iterdir())


async def test_report_of_a_fine_tune_is_served_and_goes_with_its_version(
    client: httpx.AsyncClient, services: Services
) -> None:
    """Figures, curves and contact sheet; a version without one says so."""
    await with_pairs(client)
    (first,) = strict_json(await client.get("/v1/models"))["items"]
    job = await worked(client, services, "fine-tune", promote="never", steps=20)
    version = job["result"]["model_version"]
    assert job["result"]["promoted"] is False
    report = strict_json(await client.get(f"/v1/models/{version}/report"))
    assert report["model_version"] == version
    assert report["program"].startswith("beholder ")
    assert len(report["curves"]) == report["steps"] == 20
    images = {image["id"] for image in strict_json(await client.get("/v1/images"))["items"]}
    assert {query["image_id"] for query in report["queries"]} <= images
    for url in report["urls"].values():
        drawing = await client.get(url)
        assert drawing.headers["content-type"] == "image/png"
        assert drawing.content.startswith(b"\x89PNG")
    records = strict_json(await client.get(f"/v1/jobs/{job['id']}/records"))["items"]
    (curve,) = [record["data"] for record in records if record["name"] == "curve"]
    assert curve["step"] == 20
    assert {"loss", "recall_at_1", "zero_shot_top_1"} <= set(curve)
    for path in ("report", "report/curves.png", "report/contact-sheet.png"):
        assert_problem(await client.get(f"/v1/models/{first['id']}/{path}"), 404, "not-found")
    assert (await client.get(f"/v1/models/{version}/report/other.png")).status_code == 422
    assert (await client.delete(f"/v1/models/{version}")).status_code == 204
    assert_problem(await client.get(f"/v1/models/{version}/report"), 404, "not-found")


async def test_version_that_is_not_better_stays_where_it_is_unless_forced(
    client: httpx.AsyncClient, services: Services
) -> None:
    """A fine-tune that gains nothing is not promoted; force is, and leaves a trace."""
    await with_pairs(client)
    (first,) = strict_json(await client.get("/v1/models"))["items"]
    job = await worked(
        client, services, "fine-tune", steps=1, learning_rate=1e-12, promote="if_better"
    )
    version = job["result"]["model_version"]
    assert job["state"] == "succeeded"
    assert job["result"]["promoted"] is False
    assert "not promoted" in job["message"]
    assert strict_json(await client.get("/v1/models"))["items"][1]["state"] == "live"
    refused = await client.post(f"/v1/models/{version}/promote")
    assert_problem(refused, 409, "not-better")
    checks = strict_json(refused)["checks"]
    assert [check["passed"] for check in checks if check["name"] == "domain_recall"] == [False]
    assert set(checks[0]) == {"name", "title", "before", "after", "allowed", "passed"}
    again = await client.post("/v1/admin/reindex", json={"model_version": version})
    assert_problem(again, 409, "not-better")
    forced = strict_json(await client.post(f"/v1/models/{version}/promote", json={"force": True}))
    assert forced["state"] == "live"
    assert forced["metrics"]["promotion"]["checks"] == checks
    back = strict_json(await client.post("/v1/models/rollback"))
    assert back["id"] == first["id"]


async def test_evaluation_compares_two_versions(
    client: httpx.AsyncClient, services: Services
) -> None:
    """The same weights agree wholly and gain nothing; the figures stay with the version."""
    await with_pairs(client)
    (first,) = strict_json(await client.get("/v1/models"))["items"]
    job = await worked(client, services, "evaluate")
    evaluation = job["result"]["evaluation"]
    assert job["result"]["against"] == first["id"]
    assert evaluation["domain"] == evaluation["domain_before"]
    assert evaluation["general"]["agreement"] == 1
    assert evaluation["gate"]["passed"] is False
    version = strict_json(await client.get(f"/v1/models/{first['id']}"))
    assert version["metrics"]["evaluation"] == evaluation


async def test_pairs_that_teach_nothing_are_refused_at_once(
    client: httpx.AsyncClient, services: Services
) -> None:
    """No pairs, no such version, nonsense settings: an answer in words, and no job."""
    assert_problem(await client.post("/v1/admin/fine-tune"), 422, "training-failed")
    await with_pairs(client)
    unknown = {"start": "no-such"}
    assert_problem(await client.post("/v1/admin/fine-tune", json=unknown), 404, "not-found")
    unknown = {"model_version": "no-such"}
    assert_problem(await client.post("/v1/admin/evaluate", json=unknown), 404, "not-found")
    for nonsense in (
        {"trained": "everything"},
        {"steps": 0},
        {"batch_size": 1},
        {"learning_rate": 0},
        {"promote": "perhaps"},
        {"allowed": {"agreement": 2}},
        {"extra": 1},
    ):
        answer = await client.post("/v1/admin/fine-tune", json=nonsense)
        assert answer.status_code == 422, nonsense
    assert strict_json(await client.get("/v1/jobs"))["items"] == []


def test_problem_of_a_refused_promotion_names_every_figure() -> None:
    """Each check stands in the document as it was measured."""
    checks = [
        {"name": "a", "title": "A", "before": 0.5, "after": 0.4, "allowed": "x", "passed": False}
    ]
    problem = problem_of(NotBetter("v", checks))
    assert (problem["status"], problem["checks"]) == (409, checks)
    assert "A: 0.500, now 0.400, x" in problem["detail"]
