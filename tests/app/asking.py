"""What tests ask of the HTTP API: uploads, raw forms, and the one shape of every problem."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.pictures import picture_bytes

# For tests whose subject never reaches the database; the others run on both kinds.
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "urn:beholder:problem:"
BOUNDARY = "a-boundary-no-picture-contains"


def assert_problem(
    answer: httpx.Response, status: int, name: str, pointer: str | None = None
) -> dict[str, Any]:
    """The problem document of an answer, which has the one shape that all of them have."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["x-request-id"]
    problem = strict_json(answer)
    assert_problem_document(problem)
    assert problem["status"] == status
    assert problem["type"] == TYPE_BASE + name
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem
    if status == 503:
        assert int(answer.headers["retry-after"]) > 0
    return problem


def assert_problem_document(problem: dict[str, Any]) -> None:
    """RFC 9457's members, and nothing beside them but `errors` and the `checks` of a gate."""
    assert set(problem) - {"errors", "checks"} == {"type", "title", "status", "detail"}
    assert problem["type"].startswith(TYPE_BASE)
    assert problem["title"]
    assert problem["detail"]
    for error in problem.get("errors", ()):
        assert set(error) == {"pointer", "detail"}
        assert error["pointer"] == "" or error["pointer"].startswith("/")
        assert error["detail"]


def strict_json(answer: httpx.Response) -> Any:
    """The JSON of an answer, without the NaN and Infinity that JSON does not have."""

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(answer.content.decode("utf-8"), parse_constant=refused)


async def upload(
    client: httpx.AsyncClient, data: bytes | None = None, name: str = "red.png", **fields: Any
) -> dict[str, Any]:
    """The image of an upload that must succeed."""
    answer = await client.post(
        "/v1/images",
        files={"file": (name, picture_bytes() if data is None else data)},
        data=fields,
    )
    assert answer.status_code in {200, 201}, answer.text
    image: dict[str, Any] = strict_json(answer)
    return image


def form_part(disposition: bytes, content: bytes, *headers: bytes) -> bytes:
    """One part of a multipart body, its disposition byte for byte as given."""
    lines = [b"--" + BOUNDARY.encode(), b"Content-Disposition: " + disposition, *headers]
    return b"\r\n".join([*lines, b"", content, b""])


def form_end() -> bytes:
    """What ends a multipart body."""
    return f"--{BOUNDARY}--\r\n".encode()


async def post_form(
    client: httpx.AsyncClient, path: str, body: bytes, content_type: str | None = None
) -> httpx.Response:
    """The answer to a multipart body that is sent as it stands."""
    kind = f"multipart/form-data; boundary={BOUNDARY}" if content_type is None else content_type
    return await client.post(path, content=body, headers={"Content-Type": kind})
