"""Health, metrics, the page, and the description of the API."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from app.services import Services
from app.settings import Settings
from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def test_a_healthy_service_is_alive_and_ready(client: httpx.AsyncClient) -> None:
    """Every part says that it can do its work."""
    assert strict_json(await client.get("/livez")) == {"status": "alive"}
    answer = await client.get("/readyz")
    assert answer.status_code == 200, answer.text
    ready = strict_json(answer)
    assert ready["status"] == "ready"
    assert set(ready["checks"].values()) == {"ok"}
    assert ready["model_version"].startswith("colour-")


@pytest.mark.parametrize("folder", ["blobs", "thumbnails", "incoming"])
async def test_a_data_folder_that_takes_no_files_is_not_ready(
    client: httpx.AsyncClient, settings: Settings, folder: str
) -> None:
    """The service stays alive and says what is wrong, then is ready again."""
    path = settings.data_dir / folder
    path.rename(path.with_name("aside"))
    # A file in the folder's place: permission bits would not stop the superuser.
    path.write_bytes(b"")
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert strict_json(answer)["checks"]["storage"] != "ok"
    assert (await client.get("/livez")).status_code == 200
    path.unlink()
    path.with_name("aside").rename(path)
    assert (await client.get("/readyz")).status_code == 200


@contextmanager
def taken_away(services: Services, aside: Path) -> Iterator[None]:
    """The database's files are elsewhere, and nothing can be opened in their place."""
    database = Path(str(services.database.url.database))
    services.database.close()
    aside.mkdir()
    for path in database.parent.glob(f"{database.name}*"):
        if path.is_file():
            shutil.move(path, aside)
    database.mkdir()
    yield
    database.rmdir()
    for path in aside.iterdir():
        shutil.move(path, database.parent)


async def test_a_database_that_is_gone_is_not_ready(
    app: FastAPI, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Reads and writes are refused with the reason, and the process lives."""
    with taken_away(app.state.for_tests["services"], tmp_path / "aside"):
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert strict_json(answer)["checks"]["database"] != "ok"
        assert (await client.get("/livez")).status_code == 200
        assert_problem(await client.get("/v1/images"), 503, "database-unavailable")
        assert_problem(await client.get("/v1/jobs/x"), 503, "database-unavailable")
    assert (await client.get("/v1/images")).status_code == 200


async def test_metrics_count_by_pattern_and_never_by_id(client: httpx.AsyncClient) -> None:
    """What a client can make up never becomes a label."""
    image = await upload(client)
    for path in (
        f"/v1/images/{image['id']}",
        "/v1/images/made-up",
        "/made/up",
        "/v1/search?text=x",
    ):
        await client.get(path)
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    requests = families["beholder_requests"].samples
    routes = {sample.labels["route"] for sample in requests}
    assert {"/v1/images/{image_id}", "/v1/search", "/v1/images", "none"} <= routes
    assert image["id"] not in answer.text
    assert "made-up" not in answer.text
    counted = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in requests
        if sample.name.endswith("_total")
    }
    assert counted["/v1/images/{image_id}", "200"] == 1
    assert counted["/v1/images/{image_id}", "404"] == 1
    for name in ("beholder_request_seconds", "beholder_model_waiting", "beholder_index_images"):
        assert families[name].samples
    assert families["beholder_index_images"].samples[0].value == 1


def references(described: Any) -> set[str]:
    """Every `$ref` in a document."""
    if isinstance(described, dict):
        own = {described["$ref"]} if isinstance(described.get("$ref"), str) else set()
        return own.union(*(references(value) for value in described.values()))
    if isinstance(described, list):
        return set().union(*(references(value) for value in described))
    return set()


async def test_the_description_of_the_api_is_valid(client: httpx.AsyncClient) -> None:
    """Operation ids are unique and stable, schemas are schemas, references lead somewhere."""
    described = strict_json(await client.get("/openapi.json"))
    assert described["openapi"].startswith("3.1")
    operations = [
        (path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(ids) == len(set(ids))
    assert {"upload_image", "upload_batch", "search", "search_by_text", "start_reindex"} <= set(ids)
    for path, method, operation in operations:
        assert operation.get("description"), (path, method)
        problem = operation["responses"]["default"]["content"]
        assert set(problem) == {"application/problem+json"}, (path, method)
        declared = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), path
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in references(described):
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


async def test_the_documentation_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    """Scripts and styles of /docs come from this service."""
    for page in ("/docs", "/redoc"):
        answer = await client.get(page)
        assert answer.status_code == 200
        linked = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert linked
        for link in linked:
            assert not re.match(r"(?:https?:)?//", link), link
            if not link.startswith("data:"):
                assert (await client.get(link)).status_code == 200, link


async def test_the_page_is_served_with_its_parts(client: httpx.AsyncClient) -> None:
    """Everything the page names is there, under a policy that lets nothing else run."""
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    for link in re.findall(r'(?:src|href)="([^"#:]+)"', answer.text):
        path = link if link.startswith("/") else f"/{link}"
        assert (await client.get(path)).status_code == 200, link


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../settings.py",
        "/assets/%2e%2e/%2e%2e/settings.py",
        "/assets//etc/passwd",
        "/assets/",
    ],
)
async def test_assets_lead_nowhere_else(client: httpx.AsyncClient, path: str) -> None:
    """No path leads out of the folder of the page."""
    assert_problem(await client.get(path), 404, "not-found")
