"""Probes over HTTP: trained by a job, listed, used, and refused where they mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI

from app.backups import make_backup, restore_backup
from app.jobs.worker import Worker
from app.services import Services, open_services
from app.settings import Settings
from index.store import probes
from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.app.test_backups import elsewhere  # noqa: F401  (a fixture)
from tests.fakes import ColourEncoder
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio

COLOURS = {"coat": (255, 0, 0), "hat": (0, 255, 0), "shoe": (0, 0, 255)}
EACH = 14


@pytest.fixture
def services(app: FastAPI) -> Services:
    """The services that the client's requests are answered by."""
    opened: Services = app.state.for_tests["services"]
    return opened


async def add_pairs(client: httpx.AsyncClient, labels: dict[str, str] | None = None) -> None:
    """Images of three colours with what they are called; `labels` by the names of the colours."""
    pairs = []
    for number in range(EACH):
        for place, (name, colour) in enumerate(COLOURS.items()):
            data = picture_bytes(colour, seed=3 * number + place)
            image = await upload(client, data, name=f"{name}-{number}.png")
            text = name if labels is None else labels[name].format(number=number)
            pairs.append({"image_id": image["id"], "text": text})
    answer = await client.post("/v1/pairs", json={"pairs": pairs})
    assert answer.status_code == 200, answer.text


async def trained(
    client: httpx.AsyncClient, services: Services, name: str = "clothes", **options: Any
) -> dict[str, Any]:
    """The job that trained a probe, when it has ended."""
    answer = await client.post("/v1/admin/probes", json={"name": name, **options})
    assert answer.status_code == 202, answer.text
    job = strict_json(answer)
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert await anyio.to_thread.run_sync(Worker(services).run_once)
    done: dict[str, Any] = strict_json(await client.get(f"/v1/jobs/{job['id']}"))
    return done


async def test_a_probe_is_trained_on_pairs_and_classifies(
    client: httpx.AsyncClient, services: Services
) -> None:
    """From labels in any spelling to an answer that names them, and what is none of them."""
    await add_pairs(client)
    done = await trained(client, services)
    assert done["state"] == "succeeded", done
    result = done["result"]
    assert [one["label"] for one in result["labels"]] == list(COLOURS)
    assert result["accuracy"] == 1
    assert done["progress"]["done"] == done["progress"]["total"]
    (probe,) = strict_json(await client.get("/v1/probes"))["items"]
    assert probe == strict_json(await client.get("/v1/probes/clothes"))
    assert probe["is_usable"]
    assert sum(one["images"] for one in probe["labels"]) == probe["examples"]
    assert probe["details"]["source"] == "pairs"
    answer = await client.post(
        "/v1/classify",
        files={"file": ("a.png", picture_bytes((0, 255, 0), seed=99))},
        data={"probe": "clothes"},
    )
    assert answer.status_code == 200, answer.text
    found = strict_json(answer)
    assert found["probe"] == "clothes"
    assert found["predictions"][0]["label"] == "hat"
    assert found["none_of_these"] is None
    assert {one["label"] for one in found["predictions"]} == set(COLOURS)
    assert (await client.delete("/v1/probes/clothes")).status_code == 204
    assert_problem(await client.delete("/v1/probes/clothes"), 404, "not-found")
    assert_problem(await client.get("/v1/probes/clothes"), 404, "not-found")


async def test_shots_make_a_probe_of_so_many_images_each(
    client: httpx.AsyncClient, services: Services
) -> None:
    """Training again under the name replaces the probe; a captioned image is no label's."""
    await add_pairs(client)
    image = await upload(client, picture_bytes((255, 255, 0)), name="odd.png")
    several = [{"image_id": image["id"], "text": text} for text in ("coat", "hat")]
    lone = await upload(client, picture_bytes((255, 255, 9)), name="lone.png")
    once = [{"image_id": lone["id"], "text": "a yellow square of nothing"}]
    await client.post("/v1/pairs", json={"pairs": several + once})
    await trained(client, services)
    done = await trained(client, services, shots=2, seed=3)
    result = done["result"]
    assert [one["images"] for one in result["labels"]] == [2, 2, 2]
    assert (result["examples"], result["shots"], result["seed"]) == (6, 2, 3)
    assert (result["images_with_several_labels"], result["texts_that_are_no_labels"]) == (1, 1)
    (probe,) = strict_json(await client.get("/v1/probes"))["items"]
    assert probe["examples"] == 6


@ON_SQLITE
async def test_a_probe_is_refused_by_another_model(
    client: httpx.AsyncClient, services: Services
) -> None:
    """After a switch of the model it says so, and is usable again after the way back."""
    await add_pairs(client)
    await trained(client, services)
    version = services.versions.register("colour-1", origin="registered")
    services.reindexer.run(version.id, lambda *_: False, is_to_go_live=True)
    services.live.catch_up()
    image = strict_json(await client.get("/v1/images"))["items"][0]["id"]
    question = {"probe": "clothes", "image_id": image}
    problem = assert_problem(
        await client.post("/v1/classify", json=question), 409, "probe-of-another-model"
    )
    assert version.id in problem["detail"]
    assert not strict_json(await client.get("/v1/probes/clothes"))["is_usable"]
    services.versions.roll_back()
    services.live.catch_up()
    assert (await client.post("/v1/classify", json=question)).status_code == 200


@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "name", "pointer"),
    [
        ({}, "invalid-request", "/name"),
        ({"name": ""}, "text-rejected", "/name"),
        ({"name": " "}, "text-rejected", "/name"),
        ({"name": "a/b"}, "text-rejected", "/name"),
        ({"name": ".."}, "text-rejected", "/name"),
        ({"name": "a\nb"}, "text-rejected", "/name"),
        ({"name": "a\0"}, "invalid-request", "/name"),
        ({"name": "x" * 101}, "invalid-request", "/name"),
        ({"name": "x", "shots": 0}, "invalid-request", "/shots"),
        ({"name": "x", "shots": "many"}, "invalid-request", "/shots"),
        ({"name": "x", "seed": -1}, "invalid-request", "/seed"),
        ({"name": "x", "seed": 2**31}, "invalid-request", "/seed"),
        ({"name": "x", "collection": ""}, "invalid-request", "/collection"),
        ({"name": "x", "labels": ["a"]}, "invalid-request", "/labels"),
    ],
)
async def test_a_training_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], name: str, pointer: str
) -> None:
    """Each refusal points at the field, and no job is made."""
    assert_problem(await client.post("/v1/admin/probes", json=body), 422, name, pointer)
    assert strict_json(await client.get("/v1/jobs"))["items"] == []


@ON_SQLITE
async def test_pairs_without_two_labels_are_told_before_a_job_is_made(
    client: httpx.AsyncClient,
) -> None:
    """No pairs, captions that are all different, and a collection without any."""
    refused = {"name": "x"}
    assert_problem(await client.post("/v1/admin/probes", json=refused), 409, "conflict")
    await add_pairs(client, {name: f"{name} {{number}}" for name in COLOURS})
    problem = assert_problem(await client.post("/v1/admin/probes", json=refused), 409, "conflict")
    assert "two labels" in problem["detail"]
    body = {"name": "x", "collection": "other"}
    problem = assert_problem(await client.post("/v1/admin/probes", json=body), 409, "conflict")
    assert "other" in problem["detail"]


@ON_SQLITE
@pytest.mark.parametrize(
    ("fields", "status", "name", "pointer"),
    [
        ({"probe": "none"}, 404, "not-found", None),
        ({"probe": "../../etc"}, 404, "not-found", None),
        ({"probe": "clothes", "labels": ["a"]}, 422, "invalid-request", "/probe"),
        ({"probe": "clothes", "templates": ["art"]}, 422, "invalid-request", "/probe"),
        ({"probe": "a\0"}, 422, "invalid-request", "/probe"),
        ({"probe": 1}, 422, "invalid-request", "/probe"),
        ({"probe": "few", "threshold": "auto"}, 422, "bad-labels", None),
    ],
)
async def test_a_question_to_a_probe_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient,
    services: Services,
    fields: dict[str, Any],
    status: int,
    name: str,
    pointer: str | None,
) -> None:
    """Unknown ones, labels beside it, and a threshold to one that was trained on too few."""
    await add_pairs(client)
    await trained(client, services, "few")
    image = strict_json(await client.get("/v1/images"))["items"][0]["id"]
    answer = await client.post("/v1/classify", json={"image_id": image, **fields})
    assert_problem(answer, status, name, pointer)


@ON_SQLITE
async def test_a_damaged_probe_is_told_and_can_be_trained_again(
    client: httpx.AsyncClient, services: Services
) -> None:
    """Bytes that are no probe any more are no 500, and are never trusted."""
    await add_pairs(client)
    await trained(client, services)
    fingerprint = services.live.generation.version.fingerprint
    with services.database.writing() as session:
        record, content = probes.get(session, "clothes")
        probes.put(
            session,
            "clothes",
            fingerprint=fingerprint,
            content=content[:-50],
            details=record.details,
        )
    image = strict_json(await client.get("/v1/images"))["items"][0]["id"]
    question = {"probe": "clothes", "image_id": image}
    assert_problem(await client.post("/v1/classify", json=question), 422, "bad-checkpoint")
    await trained(client, services)
    assert (await client.post("/v1/classify", json=question)).status_code == 200


@ON_SQLITE
async def test_probes_travel_with_a_backup(
    client: httpx.AsyncClient,
    services: Services,
    settings: Settings,
    elsewhere: Settings,  # noqa: F811  (the fixture)
    load_colours: Callable[[str], ColourEncoder],
    tmp_path: Path,
) -> None:
    """What is put back elsewhere answers as before."""
    await add_pairs(client)
    await trained(client, services)
    before = services.probes.load("clothes", services.live.generation.version)

    def there_and_back() -> None:
        make_backup(settings, tmp_path / "backup")
        restore_backup(elsewhere, tmp_path / "backup", load=load_colours)
        with open_services(elsewhere, load=load_colours) as restored:
            after = restored.probes.load("clothes", restored.live.generation.version)
        assert after.labels == before.labels
        assert (after.weights == before.weights).all()

    await anyio.to_thread.run_sync(there_and_back)
