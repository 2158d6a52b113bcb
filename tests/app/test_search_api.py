"""`/v1/search`: composed queries, their refusals, and pages that are one list cut in pieces."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.app.asking import (
    ON_SQLITE,
    assert_problem,
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


async def test_one_several_or_all_collections_are_searched(client: httpx.AsyncClient) -> None:
    """A collection is a name-space; naming several searches them together."""
    for seed, collection in enumerate("abc"):
        await upload(client, picture_bytes(RED, seed=seed), collection=collection)
    for named, expected in (("b", "b"), ("ac", "ac"), ("", "abc")):
        params = [("text", "red"), *(("collection", name) for name in named)]
        for path, member in (("/v1/search", "hits"), ("/v1/images", "items")):
            answer = (await client.get(path, params=params)).json()
            shown = [item.get("image", item)["collection"] for item in answer[member]]
            assert sorted(shown) == list(expected)


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
@pytest.mark.parametrize("text", ["赤", "أحمر", "🟥", "\u202ered", "r\u0301ed", "<b>&amp;", "\x01"])
async def test_text_in_any_script_is_answered(client: httpx.AsyncClient, text: str) -> None:
    """No character that can be sent makes a query fail."""
    await upload(client)
    assert len((await searched(client, query=[{"text": text}]))["hits"]) == 1
