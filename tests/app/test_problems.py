"""Every error is one problem document: named, titled, pointed at, and silent about our insides."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import anyio
import httpx
import pytest
from fastapi import FastAPI

import app as app_package
import index
import model
from app.api import problems
from app.api.middleware import Bounded
from app.errors import AppError
from app.services import Services
from tests.app.asking import (
    ON_SQLITE,
    assert_problem,
    assert_problem_document,
    strict_json,
    upload,
)

BASES = (AppError, index.RetrievalError, model.ModelError)
# What ends a start or stays inside, and can never be the answer to a request.
NEVER_ANSWERED = {
    "AddressUnusable",
    "AppError",
    "DataFolderUnusable",
    "NothingToShow",
    "PortTaken",
    "StartFailed",
    "RetrievalError",
    "DimensionMismatch",
    "SnapshotError",
    "ModelError",
}
SERVER_SIDE = {
    "DatabaseUnavailable": 503,
    "HubCacheUnusable": 503,
    "HubInterrupted": 503,
    "HubStorageFull": 507,
    "HubUnreachable": 503,
    "IndexUnavailable": 503,
    "Overloaded": 503,
    "QueueFull": 503,
    "StorageError": 503,
    "StorageFull": 507,
}
CLIENT_SIDE = {
    "CollectionClosed": 409,
    "CollectionNotEmpty": 409,
    "Conflict": 409,
    "NotBetter": 409,
    "ImageTooLarge": 413,
    "LeaseLost": 409,
    "MalformedForm": 400,
    "MissingFile": 410,
    "NotFound": 404,
    "ProbeOfAnotherModel": 409,
    "RequestTooLarge": 413,
    "UnsupportedFormat": 415,
}


def every_error() -> Iterator[type[Exception]]:
    """Each class of the three trees, wherever it is defined."""
    for package in (app_package, index, model):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    waiting: list[type[Exception]] = list(BASES)
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(found.__subclasses__())


def test_every_error_has_its_kind_of_problem() -> None:
    """A class that is new makes no 500 by accident: it is in the table, or below one that fits."""
    names = set()
    for error in every_error():
        kind = problems.problem_type(error.__new__(error))
        names.add(error.__name__)
        if error.__name__ in NEVER_ANSWERED:
            assert kind is problems.INTERNAL, error
        else:
            expected = (SERVER_SIDE | CLIENT_SIDE).get(error.__name__, 422)
            assert kind.status == expected, f"{error.__name__} is answered by {kind}"
    assert names >= NEVER_ANSWERED | set(SERVER_SIDE) | set(CLIENT_SIDE)


def test_a_kind_of_problem_has_one_status_and_one_title() -> None:
    """The same `type` always means the same, wherever it arises (RFC 9457, section 3.1)."""
    seen: dict[str, problems.ProblemType] = {}
    for kind in problems.PROBLEM_TYPES.values():
        assert seen.setdefault(kind.name, kind) == kind
        assert kind.name == kind.name.lower().replace(" ", "-")


def test_an_error_nobody_foresaw_keeps_its_text_to_itself() -> None:
    """A problem document of a foreign exception says nothing of it."""
    problem = problems.problem_of(RuntimeError("the password is hunter2"))
    assert_problem_document(problem)
    assert "hunter2" not in str(problem)
    assert problem["status"] == 500


@pytest.mark.anyio
async def test_a_sender_that_stops_sending_does_not_hold_a_refused_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is left of a refused body is waited for, and not for ever."""
    monkeypatch.setattr("app.api.middleware.DRAINED_SECONDS", 0.05)
    sent = []

    async def refusing(scope: object, receive: object, send: object) -> None:
        await problems.internal("x")(scope, receive, send)  # type: ignore[arg-type]

    async def receive() -> dict[str, object]:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"9")]}
    await Bounded(refusing, 100, 60)(scope, receive, send)  # type: ignore[arg-type]
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.anyio
@ON_SQLITE
class TestAnswers:
    """What clients of the running application see."""

    async def test_an_error_nobody_foresaw_is_a_500_with_the_id_of_its_request(
        self, app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its text stays in the log; the answer has the id to look for, and every header."""

        def broken(*_: object) -> None:
            raise RuntimeError("the password is hunter2")

        services: Services = app.state.for_tests["services"]
        monkeypatch.setattr(services.library, "get", broken)
        answer = await client.get("/v1/images/x", headers={"X-Request-ID": "look-for-me"})
        problem = assert_problem(answer, 500, "internal")
        assert answer.headers["x-request-id"] == "look-for-me"
        assert "look-for-me" in problem["detail"]
        assert "hunter2" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/livez")).status_code == 200

    async def test_a_request_keeps_the_id_it_came_with(self, client: httpx.AsyncClient) -> None:
        """A usable id is echoed; without one, or with nonsense, a fresh one is made."""
        for given in ("abc-123", "a" * 64, "A.b_c-9"):
            answer = await client.get("/livez", headers={"X-Request-ID": given})
            assert answer.headers["x-request-id"] == given
        made = set()
        for nonsense in (None, "", "a" * 65, "<script>", "a b", "a\tb", "ä".encode()):
            headers = {} if nonsense is None else {"X-Request-ID": nonsense}
            answer = await client.get("/v1/images/none", headers=headers)
            request_id = answer.headers["x-request-id"]
            assert request_id.isalnum()
            made.add(request_id)
        assert len(made) == 7

    async def test_paths_and_methods_that_are_not_there_are_problems_too(
        self, client: httpx.AsyncClient
    ) -> None:
        """The framework's own refusals have the shape of ours."""
        for path in ("/nothing", "/v1", "/v1/images/a/b/c", "/assets/none.js", "/v1/search/none"):
            assert_problem(await client.get(path), 404, "not-found")
        for method, path in [
            ("DELETE", "/v1/images"),
            ("PUT", "/v1/images/x"),
            ("GET", "/v1/images/batch/x/y"),
            ("POST", "/livez"),
            ("PATCH", "/v1/search"),
            ("BREW", "/v1/search"),
        ]:
            answer = await client.request(method, path)
            if answer.status_code == 405:
                assert_problem(answer, 405, "method-not-allowed")
                assert answer.headers["allow"]
            else:
                assert_problem(answer, 404, "not-found")

    async def test_a_wrong_method_is_told_every_right_one(self, client: httpx.AsyncClient) -> None:
        """Allow has the methods of all routes of a path, not of the first alone."""
        for path, allowed in [
            ("/v1/images", "GET, HEAD, POST"),
            ("/v1/images/x", "DELETE, GET, HEAD, PATCH"),
            ("/livez", "GET, HEAD"),
            ("/", "GET, HEAD"),
        ]:
            answer = await client.put(path)
            problem = assert_problem(answer, 405, "method-not-allowed")
            assert answer.headers["allow"] == allowed
            assert allowed in problem["detail"]

    async def test_another_sites_page_changes_nothing(self, client: httpx.AsyncClient) -> None:
        """Requests that a browser marks as cross-site may read and never write."""
        image = await upload(client)
        headers = {"Sec-Fetch-Site": "cross-site"}
        for method, path in [
            ("POST", "/v1/images"),
            ("POST", "/v1/search"),
            ("PATCH", f"/v1/images/{image['id']}"),
            ("DELETE", f"/v1/images/{image['id']}"),
            ("POST", "/v1/admin/reindex"),
        ]:
            answer = await client.request(method, path, headers=headers)
            assert_problem(answer, 403, "cross-site")
        assert (await client.get(f"/v1/images/{image['id']}", headers=headers)).status_code == 200
        own = {"Sec-Fetch-Site": "same-origin"}
        answer = await client.delete(f"/v1/images/{image['id']}", headers=own)
        assert answer.status_code == 204

    async def test_a_field_that_is_refused_is_pointed_at(self, client: httpx.AsyncClient) -> None:
        """Several bad fields are all named, up to a bound."""
        body = {"query": [{"text": 1}, {"weight": "x"}], "limit": 0, "unknown": 1}
        problem = assert_problem(
            await client.post("/v1/search", json=body), 422, "invalid-request", "/limit"
        )
        pointers = {error["pointer"] for error in problem["errors"]}
        assert {"/query/0/text", "/query/1/weight", "/limit", "/unknown"} <= pointers
        many = {"texts": [1] * 1_000}
        problem = assert_problem(
            await client.post("/v1/embeddings", json=many), 422, "invalid-request"
        )
        assert len(problem["errors"]) <= 100

    async def test_every_answer_says_that_it_is_what_it_says(
        self, client: httpx.AsyncClient
    ) -> None:
        """Security headers stand on pages, answers and problems alike."""
        for path in ("/", "/docs", "/livez", "/metrics", "/v1/images", "/nothing"):
            answer = await client.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["referrer-policy"] == "no-referrer"

    async def test_problems_are_in_the_description_of_the_api(
        self, client: httpx.AsyncClient
    ) -> None:
        """Generated clients read errors as what they are."""
        described = strict_json(await client.get("/openapi.json"))
        for path, operations in described["paths"].items():
            for operation in operations.values():
                default = operation["responses"]["default"]
                assert "ProblemOut" in str(default), path
                assert "HTTPValidationError" not in str(operation), path
