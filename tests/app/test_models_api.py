"""`/v1/models` over HTTP: what a stranger may name, and the switch forth and back."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from app.services import Services
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio


def services_of(app: FastAPI) -> Services:
    """What the application under test works with."""
    services: Services = app.state.for_tests["services"]
    return services


async def test_a_version_is_filled_promoted_and_taken_back(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    """Every step of a switch is one call, and each answer names the version that gave it."""
    services = services_of(app)
    await client.post("/v1/images", files={"file": picture_bytes()})
    (first,) = (await client.get("/v1/models")).json()["items"]
    assert first["state"] == "live"
    other = services.versions.register("colour-1", origin="registered").id
    early = await client.post(f"/v1/models/{other}/promote")
    assert early.status_code == 409
    services.reindexer.run(other, lambda *_: False, is_to_go_live=False)
    assert (await client.get(f"/v1/models/{other}")).json()["state"] == "ready"
    promoted = await client.post(f"/v1/models/{other}/promote")
    assert promoted.json()["state"] == "live"
    services.live.catch_up()
    found = (await client.get("/v1/search", params={"text": "red"})).json()
    assert (found["model_version"], len(found["hits"])) == (other, 1)
    assert (await client.delete(f"/v1/models/{other}")).status_code == 409
    back = await client.post("/v1/models/rollback")
    assert back.json()["id"] == first["id"]
    assert (await client.delete(f"/v1/models/{other}")).status_code == 204
    assert (await client.get(f"/v1/models/{other}")).status_code == 404
    assert (await client.post("/v1/models/rollback")).status_code == 409


@pytest.mark.parametrize(
    "source",
    ["/etc/passwd", "../../etc/passwd", "weights.pt", "..", "\\\\host\\share", " ", "a\0b"],
)
async def test_only_shipped_models_and_allowed_folders_are_read(
    client: httpx.AsyncClient, source: str
) -> None:
    """A stranger can't have the server open any file of its machine."""
    answer = await client.post("/v1/models", json={"source": source})
    assert answer.status_code == 422
    assert len((await client.get("/v1/models")).json()["items"]) == 1
