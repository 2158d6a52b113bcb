"""Multipart bodies of every shape: caps that hold while the bytes arrive, and nothing left over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.settings import Settings
from tests.app.asking import (
    BOUNDARY,
    ON_SQLITE,
    assert_problem,
    form_end,
    form_part,
    post_form,
    strict_json,
    upload,
)
from tests.pictures import picture_bytes

pytestmark = [pytest.mark.anyio, ON_SQLITE]

PATHS = ["/v1/images", "/v1/images/batch", "/v1/search/image", "/v1/embeddings", "/v1/classify"]
FILE = b'form-data; name="file"; filename="a.png"'


def assert_nothing_is_left(settings: Settings) -> None:
    """Neither a finished nor an unfinished upload lies in the data folder."""
    for name in ("blobs", "thumbnails", "incoming"):
        assert [path for path in (settings.data_dir / name).rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 1_000,
        "multipart/form-data; boundary=é",
        "multipart/mixed; boundary=" + BOUNDARY,
        "multipart/",
    ],
)
async def test_a_form_without_a_usable_boundary_is_refused(
    client: httpx.AsyncClient, settings: Settings, content_type: str
) -> None:
    """Every path that takes a form says so, and reads nothing."""
    body = form_part(FILE, picture_bytes()) + form_end()
    for path in PATHS:
        answer = await client.post(
            path, content=body, headers={"Content-Type": content_type.encode()}
        )
        assert_problem(answer, 400, "malformed-form")
    assert_nothing_is_left(settings)


@pytest.mark.parametrize("content_type", ["", "application/json", "image/png", "text/plain"])
async def test_an_upload_that_is_no_form_is_refused(
    client: httpx.AsyncClient, settings: Settings, content_type: str
) -> None:
    """A picture as the whole body is not guessed at."""
    for path in ("/v1/images", "/v1/images/batch", "/v1/search/image"):
        answer = await post_form(client, path, picture_bytes(), content_type)
        assert_problem(answer, 400, "malformed-form")
    assert_nothing_is_left(settings)


@pytest.mark.parametrize("content_type", ["MULTIPART/FORM-DATA", "Multipart/Form-Data"])
async def test_the_media_type_has_no_case(client: httpx.AsyncClient, content_type: str) -> None:
    """RFC 9110 compares media types without it, on every path that takes a form."""
    kind = f'{content_type}; charset=utf-8; boundary="{BOUNDARY}"'
    body = form_part(FILE, picture_bytes()) + form_end()
    assert (await post_form(client, "/v1/images", body, kind)).status_code == 201
    files = body.replace(b'name="file"', b'name="files"')
    assert (await post_form(client, "/v1/embeddings", files, kind)).status_code == 200


def broken_bodies() -> list[tuple[str, bytes]]:
    """Forms that end too early or were never forms."""
    whole = form_part(FILE, picture_bytes()) + form_end()
    line = f"--{BOUNDARY}".encode()
    return [
        ("empty", b""),
        ("cut in the file", whole[: len(whole) // 2]),
        ("cut in the headers", whole[:60]),
        ("cut in the last boundary", whole[:-4]),
        ("end line only missing", form_part(FILE, picture_bytes())),
        ("no boundary at all", picture_bytes()),
        ("other boundary", whole.replace(BOUNDARY.encode(), b"other")),
        ("header line without colon", line + b"\r\nno colon here\r\n\r\nx\r\n" + form_end()),
        ("huge header", form_part(b"form-data; name=" + b"x" * 1_000_000, b"x") + form_end()),
        (
            "many headers",
            form_part(FILE, b"x", *[f"X-{n}: 1".encode() for n in range(1_000)]) + form_end(),
        ),
    ]


async def test_a_body_that_is_not_the_form_it_says_is_refused(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Truncated and foreign bodies are one clear problem, and nothing of them stays."""
    for what, body in broken_bodies():
        for path in ("/v1/images", "/v1/images/batch", "/v1/search/image"):
            sent = body if path != "/v1/images/batch" else body.replace(b'"file"', b'"files"')
            answer = await post_form(client, path, sent)
            problem = assert_problem(answer, 400, "malformed-form")
            assert "Traceback" not in problem["detail"], what
    assert_nothing_is_left(settings)


async def test_an_empty_form_lacks_its_file(client: httpx.AsyncClient) -> None:
    """A well-formed form without a file names the field that is missing."""
    for path, field in [
        ("/v1/images", "/file"),
        ("/v1/images/batch", "/files"),
        ("/v1/search/image", "/file"),
        ("/v1/embeddings", "/files"),
        ("/v1/classify", "/labels"),
    ]:
        answer = await post_form(client, path, form_end())
        assert_problem(answer, 422, "invalid-request", field)


async def test_fields_the_form_does_not_have_are_refused(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """A second file, a misspelt field and a file in place of a text each name their field."""
    picture = form_part(FILE, picture_bytes())
    for parts, pointer in [
        (picture + picture, "/file"),
        (picture + form_part(b'form-data; name="tag"', b"x"), "/tag"),
        (picture + form_part(b'form-data; name="a/b~"', b"x"), "/a~1b~0"),
        (picture + form_part(b'form-data; name="caption"; filename="c.txt"', b"x"), "/caption"),
        (form_part(b'form-data; name="file"', picture_bytes()), "/file"),
        (picture + form_part(b"form-data", b"x"), "/"),
        (picture + form_part(b'form-data; name="caption"', b"x") * 2, "/caption"),
        (picture + form_part(b'form-data; name="caption"', b"x" * 100_001), "/caption"),
    ]:
        answer = await post_form(client, "/v1/images", parts + form_end())
        assert_problem(answer, 422, "invalid-request", pointer)
    assert_nothing_is_left(settings)


async def test_a_form_of_very_many_parts_is_refused(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Ten thousand parts are enough for anyone."""
    part = form_part(b'form-data; name="tags"', b"x")
    answer = await post_form(client, "/v1/images", part * 10_001 + form_end())
    problem = assert_problem(answer, 400, "malformed-form")
    assert "parts" in problem["detail"]
    assert_nothing_is_left(settings)


async def test_the_texts_of_a_form_have_a_cap_together(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Fields that are each allowed do not add up to memory without bound."""
    field = form_part(b'form-data; name="tags"', b"x" * 90_000)
    answer = await post_form(client, "/v1/images/batch", field * 15 + form_end())
    assert_problem(answer, 422, "invalid-request", "/tags")
    assert_nothing_is_left(settings)


def post_scope(app: FastAPI, path: str, headers: dict[str, str]) -> dict[str, Any]:
    """What a server would hand to the application for a POST."""
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "http_version": "1.1",
        "state": dict(app.state.for_tests),
    }


class _Body:
    """A body of `chunks` chunks that counts how many were taken."""

    def __init__(self, first: bytes, chunk: bytes, chunks: int) -> None:
        self.taken = 0
        self._first = first
        self._chunk = chunk
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._first
        for _ in range(self._chunks):
            self.taken += 1
            yield self._chunk


async def sent_to(
    app: FastAPI, path: str, body: _Body, headers: dict[str, str]
) -> tuple[httpx.Response, int]:
    """The answer, and how many chunks had been taken when its status line was sent."""
    taken_at_answer = -1
    messages = aiter(body)

    async def receive() -> dict[str, Any]:
        chunk = await anext(messages, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    started: dict[str, Any] = {}
    content = bytearray()

    async def send(message: Any) -> None:
        nonlocal taken_at_answer
        if message["type"] == "http.response.start":
            taken_at_answer = body.taken
            started.update(message)
        else:
            content.extend(message.get("body", b""))

    await app(post_scope(app, path, headers), receive, send)
    answer = httpx.Response(started["status"], headers=started["headers"], content=bytes(content))
    return answer, taken_at_answer


async def test_a_body_over_the_cap_is_refused_while_it_arrives(
    app: FastAPI, settings: Settings
) -> None:
    """413 is sent as soon as the cap is passed, however much more was to come."""
    chunk = b"x" * 65_536
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    first = form_part(FILE, b"")[:-2]
    for path, cap in [("/v1/images", settings.max_bytes), ("/v1/search/image", settings.max_bytes)]:
        body = _Body(first, chunk, 1_000)
        answer, taken = await sent_to(app, path, body, kind)
        assert_problem(answer, 413, "request-too-large")
        # The form's reader hands bytes on in blocks of 256 KiB.
        assert taken * len(chunk) <= cap + 2 * (1 << 18)
    assert_nothing_is_left(settings)


async def test_an_announced_body_over_the_cap_is_refused_unread(
    app: FastAPI, settings: Settings
) -> None:
    """Content-Length alone is enough to refuse, for a form and for JSON."""
    for path, content_type, announced in [
        ("/v1/images", f"multipart/form-data; boundary={BOUNDARY}", "500000000"),
        ("/v1/images/batch", f"multipart/form-data; boundary={BOUNDARY}", "500000000"),
        ("/v1/images", f"multipart/form-data; boundary={BOUNDARY}", "9" * 5_000),
        ("/v1/search", "application/json", "500000000"),
        ("/v1/embeddings", "application/json", "500000000"),
    ]:
        body = _Body(b"", b"x" * 65_536, 3)
        headers = {"Content-Type": content_type, "Content-Length": announced}
        answer, taken = await sent_to(app, path, body, headers)
        assert_problem(answer, 413, "request-too-large")
        assert taken == 0
    assert_nothing_is_left(settings)


async def test_a_batch_over_its_cap_is_refused_and_one_file_over_its_own_is_not(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """The cap of a request ends it; the cap of a file ends that file."""
    file = b'form-data; name="files"; filename="a.png"'
    large = form_part(file, b"\x89PNG" + bytes(settings.max_bytes))
    good = form_part(file, picture_bytes())
    answer = await post_form(client, "/v1/images/batch", large + good + form_end())
    statuses = [item["status"] for item in strict_json(answer)["items"]]
    assert statuses == ["rejected", "created"]
    # More than JSON may have, and less than a request with files.
    answer = await post_form(client, "/v1/images/batch", large * 8 + good + form_end())
    assert len(strict_json(answer)["items"]) == 9
    answer = await post_form(client, "/v1/images/batch", large * 12 + good + form_end())
    assert_problem(answer, 413, "request-too-large")
    assert list((settings.data_dir / "incoming").iterdir()) == []


async def test_a_client_that_leaves_leaves_nothing(app: FastAPI, settings: Settings) -> None:
    """Twenty uploads whose connection ends half way are forgotten wholly."""
    whole = form_part(FILE, picture_bytes()) + form_end()
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    for part in range(1, 21):
        sent = [
            {"type": "http.request", "body": whole[: part * len(whole) // 21], "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive(sent: list[dict[str, Any]] = sent) -> dict[str, Any]:
            return sent.pop(0) if len(sent) > 1 else sent[0]

        async def send(message: Any) -> None:
            """Nobody listens."""

        await app(post_scope(app, "/v1/images", kind), receive, send)
    assert_nothing_is_left(settings)


async def test_an_upload_works_after_every_refusal(client: httpx.AsyncClient) -> None:
    """A hundred refused forms take no place that the next upload needs."""
    for _ in range(100):
        answer = await post_form(client, "/v1/images", b"--nonsense")
        assert answer.status_code == 400
    assert (await upload(client))["created"] is True
