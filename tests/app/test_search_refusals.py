"""What `/v1/search` refuses: each bad body, text, picture and model answer, with its place."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from app.services import Services
from app.settings import Settings
from tests.app.asking import (
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


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "empty-text"),
        (" \t\r\n\u3000", "empty-text"),
        ("x" * 10_001, "text-too-long"),
        ("a\0b", "invalid-request"),
    ],
)
async def test_a_text_that_cannot_be_asked_is_refused(
    client: httpx.AsyncClient, text: str, name: str
) -> None:
    """Empty, blank, endless and unstorable texts are refused on every path."""
    await upload(client)
    answers = [
        await client.get("/v1/search", params={"text": text}),
        await client.post("/v1/search", json={"query": [{"text": "red"}, {"text": text}]}),
        await client.post("/v1/embeddings", json={"texts": ["red", text]}),
    ]
    for answer in answers:
        assert_problem(answer, 422, name)


async def test_a_query_that_cancels_to_nothing_is_refused(client: httpx.AsyncClient) -> None:
    """Opposite parts and weights of zero get a problem, not noise."""
    image = await upload(client)
    for query in (
        [{"text": "red"}, {"text": "red", "weight": -1}],
        [{"text": "red", "weight": 0}],
        [{"image_id": image["id"], "weight": 0.5}, {"image_id": image["id"], "weight": -0.5}],
    ):
        assert_problem(await client.post("/v1/search", json={"query": query}), 422, "bad-query")


BODIES: list[tuple[str, str]] = [
    ("", ""),
    ("{", ""),
    ("[]", ""),
    ("null", ""),
    ('"text"', ""),
    ("{}", "/query"),
    ('{"query": []}', "/query"),
    ('{"query": {}}', "/query"),
    ('{"query": [{"text": "a"}], "extra": 1}', "/extra"),
    ('{"query": [{"text": "a"}], "a/b": 1}', "/a~1b"),
    ('{"query": [{"text": "a"}], "\\ud800": 1}', ""),
    ('{"query": [{"text": "\\ud800"}]}', "/query/0/text"),
    ('{"query": [{}]}', "/query/0"),
    ('{"query": [{"text": "a", "image_id": "b"}]}', "/query/0"),
    ('{"query": [{"text": "a"}, {"text": "b", "wieght": 1}]}', "/query/1/wieght"),
    ('{"query": [{"text": "a", "weight": NaN}]}', "/query/0/weight"),
    ('{"query": [{"text": "a", "weight": Infinity}]}', "/query/0/weight"),
    ('{"query": [{"text": "a", "weight": 1e999}]}', "/query/0/weight"),
    ('{"query": [{"text": "a", "weight": 101}]}', "/query/0/weight"),
    ('{"query": [{"text": "a", "weight": "heavy"}]}', "/query/0/weight"),
    ('{"query": [{"text": 1}]}', "/query/0/text"),
    ('{"query": [{"text": ["a"]}]}', "/query/0/text"),
    ('{"query": [{"image": "not base64!"}]}', "/query/0/image"),
    ('{"query": [{"text": "a"}, {"image": "data:image/png;base64,AAAA"}]}', "/query/1/image"),
    ('{"query": [{"image": "é"}]}', "/query/0/image"),
    ('{"query": [{"image": "AAA"}]}', "/query/0/image"),
    ('{"query": [{"text": "a"}], "limit": 0}', "/limit"),
    ('{"query": [{"text": "a"}], "limit": 1001}', "/limit"),
    ('{"query": [{"text": "a"}], "limit": 1.5}', "/limit"),
    ('{"query": [{"text": "a"}], "limit": ' + "9" * 400 + "}", "/limit"),
    ('{"query": [{"text": "a"}], "min_score": NaN}', "/min_score"),
    ('{"query": [{"text": "a"}], "min_score": 1.1}', "/min_score"),
    ('{"query": [{"text": "a"}], "cursor": 1}', "/cursor"),
    ('{"query": [{"text": "a"}], "cursor": "' + "x" * 2_001 + '"}', "/cursor"),
    ('{"query": [{"text": "a"}], "filter": []}', "/filter"),
    ('{"query": [{"text": "a"}], "collection": ""}', "/collection"),
    ('{"query": [' + ", ".join(['{"text": "a"}'] * 17) + "]}", "/query"),
]


async def test_a_body_that_makes_no_sense_is_refused_with_the_bad_place(
    client: httpx.AsyncClient,
) -> None:
    """Each refusal is one problem document whose pointer leads to the field."""
    await upload(client)
    for body, pointer in BODIES:
        answer = await client.post(
            "/v1/search", content=body, headers={"Content-Type": "application/json"}
        )
        assert_problem(answer, 422, "invalid-request", pointer)


async def test_json_that_python_refuses_to_read_is_refused_politely(
    client: httpx.AsyncClient,
) -> None:
    """Depth and digits without end are a 4xx on every path that takes JSON."""
    image = await upload(client)
    endless = ["[" * 100_000, '{"a":' * 50_000, "9" * 10_000, '{"query": ' + "[" * 3_000]
    nested = '{"metadata": ' + '{"k": ' * 900 + "1" + "}" * 901
    for content in [*endless, nested]:
        for method, path in [
            ("POST", "/v1/search"),
            ("POST", "/v1/embeddings"),
            ("POST", "/v1/classify"),
            ("POST", "/v1/admin/reindex"),
            ("PATCH", f"/v1/images/{image['id']}"),
        ]:
            answer = await client.request(
                method, path, content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code in {400, 422}, (path, content[:40])
            assert_problem(
                answer, answer.status_code, strict_json(answer)["type"].rpartition(":")[2]
            )


async def test_a_picture_in_a_query_is_checked_as_an_upload_is(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Damaged, empty, foreign and oversized pictures are refused, and none is kept."""
    whole = picture_bytes()
    for data, status, name in [
        (whole[: len(whole) // 2], 422, "damaged-image"),
        (b"", 422, "empty-image"),
        (b"<svg/>", 415, "unsupported-format"),
        (b"\x89PNG" + bytes(settings.max_bytes), 413, "image-too-large"),
    ]:
        query = {"query": [{"text": "a"}, {"image": base64.b64encode(data).decode()}]}
        answer = await client.post("/v1/search", json=query)
        assert_problem(answer, status, name, "/query/1/image")
        if status != 413:
            answer = await client.post("/v1/search/image", files={"file": ("q.png", data)})
            assert_problem(answer, status, name, "/file")
    assert list(settings.data_dir.rglob("*.320")) == []
    assert list((settings.data_dir / "incoming").iterdir()) == []


async def test_the_fields_of_a_picture_search_are_checked(client: httpx.AsyncClient) -> None:
    """The form's text fields obey the rules of the JSON body."""
    file = form_part(b'form-data; name="file"; filename="q.png"', picture_bytes())
    for field, value, pointer in [
        (b"limit", b"0", "/limit"),
        (b"limit", b"many", "/limit"),
        (b"text", b"a\0b", "/text"),
        (b"weight", b"1", "/weight"),
    ]:
        part = form_part(b'form-data; name="' + field + b'"', value)
        answer = await post_form(client, "/v1/search/image", file + part + form_end())
        assert_problem(answer, 422, "invalid-request", pointer)


async def test_a_huge_json_body_is_refused_whatever_type_it_claims(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """JSON is kept in memory, so its cap holds even when it is called a form."""
    body = b'{"query": [{"text": "' + b"x" * (2 * settings.max_bytes + 1_000_000) + b'"}]}'
    for content_type in ("application/json", "multipart/form-data; boundary=x", "text/plain"):

        async def chunks() -> Any:
            for start in range(0, len(body), 65_536):
                yield body[start : start + 65_536]

        answer = await client.post(
            "/v1/search", content=chunks(), headers={"Content-Type": content_type}
        )
        assert_problem(answer, 413, "request-too-large")


async def test_an_unknown_image_as_query_is_not_found(client: httpx.AsyncClient) -> None:
    """The id is named, and no other image is given instead."""
    await upload(client)
    body = {"query": [{"text": "red"}, {"image_id": "no such image"}]}
    problem = assert_problem(await client.post("/v1/search", json=body), 404, "not-found")
    assert "no such image" in problem["detail"]


async def test_a_model_that_answers_nonsense_makes_no_nonsense_answer(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    """NaN from the model is a refusal; every answer is strict JSON with finite numbers."""
    await upload(client)
    services: Services = app.state.for_tests["services"]
    encoder = services.live.generation.queue.encoder
    nothing = np.full(encoder.dimension, np.nan, dtype=np.float32)
    encoder._vector = lambda *_: nothing  # type: ignore[attr-defined]
    picture = {"file": ("q.png", picture_bytes(seed=5))}
    files = [("files", ("q.png", picture_bytes(seed=5)))]
    for answer in [
        await client.get("/v1/search", params={"text": "nonsense"}),
        await client.post("/v1/search/image", files=picture),
        await client.post("/v1/embeddings", json={"texts": ["nonsense"]}),
        await client.post("/v1/embeddings", files=files),
        await client.post("/v1/classify", files=picture, data={"labels": ["a", "b"]}),
        await client.post("/v1/images", files=picture),
    ]:
        assert answer.status_code == 422, answer.text
        assert_problem(answer, 422, strict_json(answer)["type"].rpartition(":")[2])
