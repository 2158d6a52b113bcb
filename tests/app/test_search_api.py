"""`/v1/search`: composed queries, their refusals, and pages that are one list cut in pieces."""

from __future__ import annotations

import base64
import json
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

pytestmark = pytest.mark.anyio

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


async def searched(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """The answer to a composed query, which must be given."""
    answer = await client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = strict_json(answer)
    assert set(result) == {"hits", "next_cursor", "model_version", "warnings", "took_ms"}
    assert set(result["took_ms"]) == {"encode", "search", "fetch", "total"}
    return result


def names(result: dict[str, Any]) -> list[str]:
    """The file names of the hits, in order."""
    return [hit["image"]["filename"] for hit in result["hits"]]


async def add_colours(client: httpx.AsyncClient) -> dict[str, str]:
    """One picture of each colour and of two mixtures; gives their ids by name."""
    colours = {
        "red": RED,
        "green": GREEN,
        "blue": BLUE,
        "yellow": (255, 255, 0),
        "cyan": (0, 255, 255),
    }
    return {
        name: (await upload(client, picture_bytes(colour), name=name))["id"]
        for name, colour in colours.items()
    }


async def test_parts_of_every_kind_are_weighed_together(client: httpx.AsyncClient) -> None:
    """Texts, stored images and pictures add up by their weights, negative ones push away."""
    ids = await add_colours(client)
    result = await searched(client, query=[{"text": "red"}])
    assert names(result)[:2] == ["red", "yellow"]
    result = await searched(client, query=[{"text": "red"}, {"image_id": ids["green"]}])
    assert names(result)[0] == "yellow"
    # A stored image as query is left out of its own hits.
    assert set(names(result)) == {"red", "yellow", "blue", "cyan"}
    away = [{"image_id": ids["yellow"]}, {"text": "red", "weight": -0.9}]
    assert names(await searched(client, query=away))[0] == "green"
    encoded = base64.b64encode(picture_bytes(BLUE, seed=9)).decode()
    result = await searched(client, query=[{"image": encoded, "weight": 0.5}])
    assert names(result)[:2] == ["blue", "cyan"]
    several = [{"text": "green"}, {"image": encoded, "weight": 1}, {"image_id": ids["blue"]}]
    assert names(await searched(client, query=several))[0] == "cyan"


async def test_scores_are_cosines_best_first(client: httpx.AsyncClient) -> None:
    """Scores lie in [-1, 1], descend, and are the same by GET, by POST and by form."""
    await add_colours(client)
    by_get = strict_json(await client.get("/v1/search", params={"text": "red"}))
    by_post = await searched(client, query=[{"text": "red"}])
    assert by_get["hits"] == by_post["hits"]
    scores = [hit["score"] for hit in by_get["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
    file = {"file": ("q.png", picture_bytes(RED))}
    by_form = strict_json(await client.post("/v1/search/image", files=file))
    assert names(by_form)[0] == "red"
    assert by_form["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
    both = strict_json(
        await client.post("/v1/search/image", files=file, data={"text": "green", "limit": "2"})
    )
    assert names(both)[0] == "yellow"
    assert len(both["hits"]) == 2
    opposite = await searched(client, query=[{"text": "red", "weight": -1}])
    assert [hit["score"] for hit in opposite["hits"]] == sorted(
        (-score for score in scores), reverse=True
    )


async def test_the_limit_applies_after_filtering(client: httpx.AsyncClient) -> None:
    """Fifty asked for are fifty of those the filter keeps, whatever the others score."""
    for seed in range(12):
        collection = "kept" if seed % 4 == 0 else "other"
        colour = BLUE if collection == "kept" else RED
        await upload(client, picture_bytes(colour, seed=seed), collection=collection)
    leaf = {"field": "collection", "op": "eq", "value": "kept"}
    for body in ({"filter": leaf}, {"collection": "kept"}, {"filter": leaf, "collection": "kept"}):
        result = await searched(client, query=[{"text": "red"}], limit=3, **body)
        assert [hit["image"]["collection"] for hit in result["hits"]] == ["kept"] * 3
        assert result["next_cursor"] is None
    nothing = {"and": [leaf, {"not": leaf}]}
    assert (await searched(client, query=[{"text": "red"}], filter=nothing))["hits"] == []


async def test_min_score_cuts_the_tail(client: httpx.AsyncClient) -> None:
    """Nothing under it is given, on any page."""
    await add_colours(client)
    full = await searched(client, query=[{"text": "red"}])
    bound = full["hits"][1]["score"]
    cut = await searched(client, query=[{"text": "red"}], min_score=bound)
    assert cut["hits"] == full["hits"][:2]
    assert cut["next_cursor"] is None
    assert (await searched(client, query=[{"text": "red"}], min_score=1))["hits"] == []
    params = {"text": "red", "min_score": bound, "limit": 1}
    page = strict_json(await client.get("/v1/search", params=params))
    assert page["next_cursor"] is not None
    rest = strict_json(
        await client.get("/v1/search", params=params | {"cursor": page["next_cursor"]})
    )
    assert page["hits"] + rest["hits"] == cut["hits"]
    assert rest["next_cursor"] is None


async def test_pages_put_together_are_one_big_page(client: httpx.AsyncClient) -> None:
    """Whatever the page's size, with many hits of the very same score."""
    for seed in range(5):
        data = picture_bytes(GREEN, seed=seed)
        # The same bytes in four collections are four images with one embedding: a tie of four.
        for collection in "abcd":
            await upload(client, data, collection=collection)
    query = [{"text": "green"}]
    whole = (await searched(client, query=query, limit=1_000))["hits"]
    assert len(whole) == 20
    order = [(-hit["score"], hit["image"]["id"]) for hit in whole]
    assert order == sorted(order)
    for limit in (1, 3, 7, 20):
        seen: list[Any] = []
        cursor = None
        while True:
            page = await searched(client, query=query, limit=limit, cursor=cursor)
            seen += page["hits"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
            assert len(page["hits"]) == limit
        assert seen == whole


async def test_deletions_between_pages_make_no_hit_repeat_or_vanish(
    client: httpx.AsyncClient,
) -> None:
    """What stays from the first page to the last is given once and in order."""
    for seed in range(14):
        await upload(client, picture_bytes(GREEN, seed=seed))
    query = [{"text": "green"}]
    whole = [hit["image"]["id"] for hit in (await searched(client, query=query))["hits"]]
    gone = [whole[0], whole[1], whole[5], whole[9]]
    seen: list[str] = []
    cursor = None
    for number in range(5):
        page = await searched(client, query=query, limit=4, cursor=cursor)
        seen += [hit["image"]["id"] for hit in page["hits"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        if number < len(gone):
            await client.delete(f"/v1/images/{gone[number]}")
    assert cursor is None
    assert len(seen) == len(set(seen))
    stayed = [image_id for image_id in whole if image_id not in gone]
    assert [image_id for image_id in seen if image_id not in gone] == stayed


@ON_SQLITE
async def test_a_cursor_of_another_query_or_none_at_all_is_refused(
    client: httpx.AsyncClient,
) -> None:
    """Another text, another minimum, another model version and garbage are one clear problem."""
    for seed in range(4):
        await upload(client, picture_bytes(seed=seed))
    query = [{"text": "red"}]
    cursor = (await searched(client, query=query, limit=1))["next_cursor"]
    content = json.loads(base64.urlsafe_b64decode(cursor))

    def packed(**changed: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content | changed).encode()).decode()

    assert (await searched(client, query=query, limit=2, cursor=packed()))["hits"]
    bad: list[dict[str, Any]] = [
        {"query": [{"text": "blue"}], "cursor": cursor},
        {"query": [{"text": "red", "weight": 2}], "cursor": cursor},
        {"query": [*query, *query], "cursor": cursor},
        {"query": query, "min_score": 0.1, "cursor": cursor},
    ]
    garbage = ["", "x", "🦊", "e30=", "W10=", cursor[:-4], cursor + "AAAA", "W1tb" * 400]
    garbage += [packed(v="another"), packed(s=float("nan")), packed(s=2.0), packed(s=1)]
    garbage += [packed(c=0), packed(c=-1), packed(c=2**40), packed(c=True), packed(i=1)]
    garbage += [packed(more=1)]
    bad += [{"query": query, "cursor": one} for one in garbage]
    for body in bad:
        answer = await client.post("/v1/search", json=body)
        assert_problem(answer, 422, "bad-cursor")


@ON_SQLITE
async def test_a_cut_text_says_so(client: httpx.AsyncClient) -> None:
    """A text over the context length is answered, and the answer says that it was cut."""
    await upload(client)
    long = "red " + "word " * 300
    result = await searched(client, query=[{"text": long}, {"text": "red"}])
    assert len(result["hits"]) == 1
    assert len(result["warnings"]) == 1
    assert "cut" in result["warnings"][0]
    by_get = strict_json(await client.get("/v1/search", params={"text": long}))
    assert by_get["warnings"] == result["warnings"]
    assert (await searched(client, query=[{"text": "red"}]))["warnings"] == []
    longest = "x" * 10_000
    assert (await client.post("/v1/search", json={"query": [{"text": longest}]})).is_success


@ON_SQLITE
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


@ON_SQLITE
@pytest.mark.parametrize("text", ["赤", "أحمر", "🟥", "\u202ered", "r\u0301ed", "<b>&amp;", "\x01"])
async def test_text_in_any_script_is_answered(client: httpx.AsyncClient, text: str) -> None:
    """No character that can be sent makes a query fail."""
    await upload(client)
    assert len((await searched(client, query=[{"text": text}]))["hits"]) == 1


@ON_SQLITE
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


@ON_SQLITE
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


@ON_SQLITE
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


@ON_SQLITE
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
        query = {"query": [{"image": base64.b64encode(data).decode()}]}
        assert_problem(await client.post("/v1/search", json=query), status, name)
        if status != 413:
            answer = await client.post("/v1/search/image", files={"file": ("q.png", data)})
            assert_problem(answer, status, name)
    assert list(settings.data_dir.rglob("*.320")) == []
    assert list((settings.data_dir / "incoming").iterdir()) == []


@ON_SQLITE
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


@ON_SQLITE
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


@ON_SQLITE
async def test_an_unknown_image_as_query_is_not_found(client: httpx.AsyncClient) -> None:
    """The id is named, and no other image is given instead."""
    await upload(client)
    body = {"query": [{"text": "red"}, {"image_id": "no such image"}]}
    problem = assert_problem(await client.post("/v1/search", json=body), 404, "not-found")
    assert "no such image" in problem["detail"]


@ON_SQLITE
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
