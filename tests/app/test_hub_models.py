"""A service whose models come from the hub: added, embedded, promoted, searched with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from safetensors.torch import save_file
from typer.testing import CliRunner

from app.cli import cli
from app.jobs.worker import Worker
from app.main import create_app
from app.services import Services, open_services
from app.settings import Settings
from index import sqlite_url
from tests.fakes import ColourEncoder
from tests.hub import Hub, serving_hub
from tests.model import clip_files, tiny
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio

NAME = "someone/small-clip"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with one small vision transformer, as OpenAI names its tensors."""
    folder = tmp_path / "source"
    folder.mkdir()
    state = clip_files.model(clip_files.VIT).state_dict()
    save_file(clip_files.openai_names(state), folder / "small.safetensors")
    with serving_hub() as served:
        served.add(NAME, folder)
        yield served


@pytest.fixture
def settings(tmp_path: Path, hub: Hub) -> Settings:
    """A service that runs on a tiny model and may fetch what that hub has."""
    tiny.write(tmp_path / "tiny.safetensors")
    return Settings(
        data_dir=tmp_path / "data",
        database_url=sqlite_url(tmp_path / "test.db"),
        model=str(tmp_path / "tiny.safetensors"),
        hub_models=("someone/*", "nobody/*"),
        hub_endpoint=hub.url,
        threads=1,
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application with real encoders."""
    application = create_app(settings)
    async with application.router.lifespan_context(application) as state:
        application.state.for_tests = state
        yield application


def environment(settings: Settings) -> dict[str, str]:
    """The variables of a command of that service."""
    return {**os.environ, **settings.as_environment()}


async def test_a_service_goes_over_to_a_model_of_the_hub(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    """Add, reindex, promote and search, each one call, with answers all the while."""
    services: Services = app.state.for_tests["services"]
    image = (await client.post("/v1/images", files={"file": picture_bytes()})).json()
    first = (await client.get("/v1/search", params={"text": "a red car"})).json()
    added = await client.post("/v1/models", json={"source": NAME})
    assert added.status_code == 202
    assert added.headers["Location"] == f"/v1/jobs/{added.json()['id']}"
    worker = Worker(services)
    assert worker.run_once()
    job = (await client.get(added.headers["Location"])).json()
    assert (job["state"], job["progress"]["unit"]) == ("succeeded", "MB")
    assert job["progress"]["done"] == job["progress"]["total"]
    version = (await client.get(f"/v1/models/{job['result']['model_version']}")).json()
    assert (version["origin"], version["dimension"]) == (f"hf-hub:{NAME}", 32)
    body = {"model_version": version["id"], "promote": False}
    assert (await client.post("/v1/admin/reindex", json=body)).status_code == 202
    assert worker.run_once()
    promoted = await client.post(f"/v1/models/{version['id']}/promote")
    assert promoted.json()["state"] == "live"
    services.live.catch_up()
    found = (await client.get("/v1/search", params={"text": "a red car"})).json()
    assert [hit["image"]["id"] for hit in found["hits"]] == [image["id"]]
    assert found["model_version"] == version["id"] != first["model_version"]


@pytest.mark.parametrize(
    "source", ["openai/clip-vit-base-patch32", "ViT-B/32", "hf-hub:other/model", "hf-hub:x", "RN50"]
)
async def test_a_stranger_has_only_allowed_models_fetched(
    client: httpx.AsyncClient, hub: Hub, source: str
) -> None:
    """What BEHOLDER_HUB_MODELS does not name is refused, and the hub hears nothing of it."""
    answer = await client.post("/v1/models", json={"source": source})
    assert answer.status_code == 422
    assert hub.requests == []
    assert (await client.get("/v1/jobs")).json()["items"] == []


async def test_a_model_that_is_not_there_fails_the_job_and_registers_nothing(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    """The job tells what the hub said, as a problem with a type of its own."""
    added = await client.post("/v1/models", json={"source": "nobody/nothing"})
    assert Worker(app.state.for_tests["services"]).run_once()
    job = (await client.get(added.headers["Location"])).json()
    assert job["state"] == "failed"
    assert job["problem"]["type"] == "urn:beholder:problem:hub-model-not-found"
    assert len((await client.get("/v1/models")).json()["items"]) == 1


def test_a_model_is_added_on_the_command_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id is printed alone, so that a script can reindex to it; `show` tells its origin."""
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    added = CliRunner().invoke(cli, ["models", "add", f"hf-hub:{NAME}@main"])
    assert added.exit_code == 0, added.output
    version = added.stdout.strip()
    shown = CliRunner().invoke(cli, ["models", "show", version, "--json"])
    assert json.loads(shown.stdout)["origin"] == f"hf-hub:{NAME}@main"
    plain = CliRunner().invoke(cli, ["models", "show", version])
    assert f"id: {version}" in plain.stdout
    reindexed = CliRunner().invoke(cli, ["reindex", "--model-version", version])
    assert reindexed.exit_code == 0, reindexed.output
    assert f"{version}  live" in CliRunner().invoke(cli, ["models", "list"]).stdout


def test_a_first_start_without_the_hub_comes_up_with_the_shipped_model(
    settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> None:
    """The service answers with the model it carries, and readiness tells what is missing."""
    source = {"model": f"hf-hub:{NAME}", "hub_endpoint": "http://127.0.0.1:9"}
    unreachable = settings.model_copy(update=source)
    with open_services(unreachable, load=load_colours) as services:
        assert services.versions.live().origin == "first start"
        assert f"hf-hub:{NAME} could not be fetched" in services.warnings[0]


async def test_readiness_tells_of_a_model_that_could_not_be_fetched(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    """Warnings stand beside the checks, and keep nothing from being ready."""
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["warnings"]) == (200, [])


def test_a_first_start_takes_the_configured_model_from_the_hub(settings: Settings) -> None:
    """BEHOLDER_MODEL may be a name on the hub; it is live at once, from a file of its own."""
    with open_services(settings.model_copy(update={"model": NAME})) as services:
        assert services.versions.live().dimension == 32
        assert services.warnings == ()
    # What was fetched is no longer needed.
    offline = settings.model_copy(update={"model": NAME, "hub_endpoint": "http://127.0.0.1:9"})
    with open_services(offline) as services:
        assert services.warnings == ()


def test_without_network_and_home_the_missing_files_are_named(settings: Settings) -> None:
    """A home that nobody can write and no network: one line that names what the cache lacks."""
    variables = environment(settings.model_copy(update={"hub_offline": True}))
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        variables.pop(name, None)
    ended = subprocess.run(
        [sys.executable, "-m", "app", "models", "add", f"hf-hub:{NAME}"],
        env=variables | {"HOME": "/proc/nowhere"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "model.safetensors" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (settings.data_dir / "models").is_dir()
