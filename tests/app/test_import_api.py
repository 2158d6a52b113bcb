"""`/v1/admin/import`: folders beside the service, with what was refused in a table to keep."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI

from app.jobs.worker import Worker
from app.services import Services
from app.settings import Settings
from tests.app.asking import ON_SQLITE, assert_problem, strict_json
from tests.pictures import picture_bytes

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures, one of them twice, and five files that are broken each in its own way."""
    root = tmp_path / "photos"
    (root / "deep").mkdir(parents=True)
    for seed in range(5):
        (root / "deep" / f"{seed}.png").write_bytes(picture_bytes(seed=seed))
    (root / "again.png").write_bytes(picture_bytes(seed=0))
    (root / "empty.png").touch()
    (root / "cut.png").write_bytes(picture_bytes(seed=9)[:60])
    (root / "words\tand a line\n.jpg").write_text("no picture")
    (root / "nowhere.png").symlink_to(tmp_path / "nothing")
    (root / "page.html").write_text("<p>")
    return root


@pytest.fixture
def settings(settings: Settings, folder: Path) -> Settings:
    """Settings that allow the folder."""
    return settings.model_copy(update={"picture_roots": (folder,)})


@pytest.fixture
def services_of(app: FastAPI) -> Services:
    """The services that the client's requests are answered by."""
    services: Services = app.state.for_tests["services"]
    return services


async def test_an_import_takes_the_good_files_and_lists_the_others(
    client: httpx.AsyncClient, services_of: Services, folder: Path
) -> None:
    """Each refused file has its reason, in the job and in a table; run again nothing is new."""
    body = {"paths": [str(folder)], "collection": "shop"}
    for created in (5, 0):
        answer = await client.post("/v1/admin/import", json=body)
        assert answer.status_code == 202, answer.text
        url = answer.headers["location"]
        assert strict_json(answer)["kind"] == "import"
        assert await anyio.to_thread.run_sync(Worker(services_of).run_once)
        job = strict_json(await client.get(url))
        assert job["message"] == "succeeded with 5 errors"
        assert job["progress"] == {"done": 11, "total": 11, "unit": "files"}
        result = job["result"]
        assert (result["created"], result["exists"], result["failed"]) == (created, 6 - created, 5)
        assert all(failure["reason"] for failure in result["failures"])
    listed = strict_json(await client.get("/v1/images", params={"collection": "shop"}))
    assert listed["total"] == 5
    table = await client.get(f"{url}/failures.tsv")
    assert table.headers["content-type"].startswith("text/tab-separated-values")
    assert table.headers["content-disposition"].startswith("attachment;")
    head, *lines = table.text.splitlines()
    assert head == "filename\treason"
    assert len(lines) == 5
    assert all(len(line.split("\t")) == 2 for line in lines)
    for name in ("empty.png", "cut.png", "nowhere.png", "page.html", "words"):
        assert sum(name in line for line in lines) == 1


async def test_only_what_lies_below_an_allowed_folder_is_imported(
    client: httpx.AsyncClient, folder: Path
) -> None:
    """Every way out, and what is not there, is refused with its place in the request."""
    (folder / "out").symlink_to("/")
    for path in ("/etc", f"{folder}/..", f"{folder}/out/etc", f"{folder}2", ".", str(folder / "x")):
        body = {"paths": [str(folder), path]}
        answer = await client.post("/v1/admin/import", json=body)
        assert_problem(answer, 422, "invalid-request", "/paths/1")
    for body in ({}, {"paths": []}, {"paths": [""]}, {"paths": ["a\0"]}, {"paths": "x"}):
        answer = await client.post("/v1/admin/import", json=body)
        assert_problem(answer, 422, "invalid-request")
    assert strict_json(await client.get("/v1/jobs"))["items"] == []


async def test_a_job_without_failures_has_an_empty_table(
    client: httpx.AsyncClient, services_of: Services
) -> None:
    """One that waits has none yet; one that is not there is no table."""
    job = strict_json(await client.post("/v1/admin/reindex"))
    assert (await client.get(f"/v1/jobs/{job['id']}/failures.tsv")).text == "filename\treason\n"
    assert_problem(await client.get("/v1/jobs/none/failures.tsv"), 404, "not-found")
