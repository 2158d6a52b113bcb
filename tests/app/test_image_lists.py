"""`GET /v1/images`: pages that never repeat or skip, and filters that mean what they say."""

from __future__ import annotations

import io
import json
import random
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from PIL import Image

from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.app.random_filters import STRINGS, is_kept, random_filter, random_metadata
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio


async def listed(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    """A page of the listing, which must be given."""
    answer = await client.get("/v1/images", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = strict_json(answer)
    return page


async def test_pages_put_together_are_the_list(client: httpx.AsyncClient) -> None:
    """Newest first, each image once, the total on every page, and null at the end."""
    ids = [(await upload(client, picture_bytes(seed=n)))["id"] for n in range(7)]
    for limit in (1, 3, 7, 1_000):
        seen: list[str] = []
        cursor = None
        while True:
            page = await listed(client, limit=limit, **({"cursor": cursor} if cursor else {}))
            assert page["total"] == 7
            assert len(page["items"]) <= limit
            seen += [image["id"] for image in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ids[::-1]


async def test_changes_between_pages_make_no_image_repeat_or_vanish(
    client: httpx.AsyncClient,
) -> None:
    """What is there from the first page to the last is listed once, whatever comes and goes."""
    ids = [(await upload(client, picture_bytes(seed=n)))["id"] for n in range(12)]
    seen: list[str] = []
    cursor: str | None = None
    deleted = {ids[11], ids[8], ids[3]}
    steps = [ids[11], ids[8], ids[3]]
    while True:
        page = await listed(client, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [image["id"] for image in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        await upload(client, picture_bytes(seed=100 + len(seen)))
        if steps:
            assert (await client.delete(f"/v1/images/{steps.pop(0)}")).status_code == 204
    assert len(seen) == len(set(seen))
    stayed = [image_id for image_id in reversed(ids) if image_id not in deleted]
    assert [image_id for image_id in seen if image_id in stayed] == stayed


@ON_SQLITE
@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"limit": "0"}, "/limit"),
        ({"limit": "-1"}, "/limit"),
        ({"limit": "1001"}, "/limit"),
        ({"limit": "many"}, "/limit"),
        ({"limit": "9" * 400}, "/limit"),
        ({"collection": ""}, "/collection/0"),
        ({"collection": "a\0"}, "/collection/0"),
        ({"collection": "x" * 101}, "/collection/0"),
        ({"cursor": "x" * 2_001}, "/cursor"),
        ({"filter": "{"}, "/filter"),
        ({"filter": "x" * 10_001}, "/filter"),
        ({"filter": "[" * 9_000}, "/filter"),
    ],
)
async def test_parameters_that_make_no_sense_are_refused(
    client: httpx.AsyncClient, params: dict[str, str], pointer: str
) -> None:
    """Each refusal points at the parameter."""
    answer = await client.get("/v1/images", params=params)
    assert_problem(answer, 422, "invalid-request", pointer)


CURSORS = ["", "x", "é", "e30=", "bnVsbA==", "W10=", "eyJuIjoiMSJ9", "eyJuIjotMX0=", "🦊"]
# {"n":true}, {"n":1.0}, {"n":9223372036854775808}, {"n":1,"m":2}, and a depth of 900.
CURSORS += ["eyJuIjp0cnVlfQ==", "eyJuIjoxLjB9", "eyJuIjo5MjIzMzcyMDM2ODU0Nzc1ODA4fQ=="]
CURSORS += ["eyJuIjoxLCJtIjoyfQ==", "W1tb" * 400]


@ON_SQLITE
async def test_a_cursor_that_was_never_handed_out_is_refused(client: httpx.AsyncClient) -> None:
    """Garbage, foreign JSON and numbers out of range are one clear problem."""
    await upload(client)
    for cursor in CURSORS:
        for path in ("/v1/images", "/v1/jobs"):
            answer = await client.get(path, params={"cursor": cursor})
            assert_problem(answer, 422, "bad-cursor")


def photo_taken(at: str | None, seed: int) -> bytes:
    """A JPEG whose camera wrote this local time."""
    exif = Image.Exif()
    if at is not None:
        exif.get_ifd(0x8769)[0x9003] = at
    file = io.BytesIO()
    size = (40 + seed % 2, 30)
    with Image.open(io.BytesIO(picture_bytes(seed=seed, size=size))) as picture:
        picture.save(file, "JPEG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("seed", [7])
async def test_random_filters_keep_what_plain_python_keeps(
    client: httpx.AsyncClient, seed: int
) -> None:
    """Every field and operator, under and, or and not, on both databases alike."""
    dice = random.Random(seed)
    moments = [None, "2026:05:01 00:30:00", "2026:05:01 12:00:00", "2025:12:31 23:59:59"]
    async with anyio.create_task_group() as group:
        for number in range(40):
            words: dict[str, Any] = {
                "tags": [tag for tag in STRINGS if tag.strip() == tag and dice.random() < 0.1],
                "metadata": json.dumps(random_metadata(dice)),
                "collection": dice.choice(["a", "B", "é", "日本"]),
            }
            if dice.random() < 0.6:
                words["caption"] = dice.choice(STRINGS) + dice.choice(STRINGS)
            is_photo = number % 2
            data = (
                photo_taken(dice.choice(moments), number)
                if is_photo
                else picture_bytes(seed=number)
            )
            name = f"{dice.choice(STRINGS)}{number}.x"
            group.start_soon(partial(upload, client, data, name, **words))
    records = (await listed(client, limit=1_000))["items"]
    assert len(records) == 40
    kept_counts = []
    for _ in range(150):
        expression = random_filter(dice)
        page = await listed(client, limit=1_000, filter=json.dumps(expression))
        found = [record["id"] for record in page["items"]]
        expected = [record["id"] for record in records if is_kept(record, expression)]
        assert found == expected, expression
        assert page["total"] == len(expected)
        kept_counts.append(len(expected))
    # The filters are no empty exercise: most keep some and drop some.
    assert sum(0 < count < 40 for count in kept_counts) > 50


BAD_FILTERS: list[tuple[Any, str]] = [
    ([], ""),
    ("text", ""),
    (1, ""),
    ({}, ""),
    ({"and": []}, "/and"),
    ({"or": {}}, "/or"),
    ({"and": [{"not": []}]}, "/and/0/not"),
    ({"and": [], "or": []}, ""),
    ({"field": "tags"}, ""),
    ({"field": "tags", "op": "eq"}, "/value"),
    ({"field": "tags", "op": "eq", "value": "x", "more": 1}, ""),
    ({"field": "tags", "op": "like", "value": "x"}, "/op"),
    ({"field": "tags", "op": ["eq"], "value": "x"}, "/op"),
    ({"field": "tags", "op": "lt", "value": "x"}, "/value"),
    ({"field": ["tags"], "op": "eq", "value": "x"}, "/field"),
    ({"field": "number", "op": "eq", "value": 1}, "/field"),
    ({"field": "details", "op": "exists"}, "/field"),
    ({"field": "width", "op": "eq", "value": "40"}, "/value"),
    ({"field": "width", "op": "eq", "value": 1.5}, "/value"),
    ({"field": "width", "op": "eq", "value": True}, "/value"),
    ({"field": "width", "op": "contains", "value": "4"}, "/value"),
    ({"field": "width", "op": "in", "value": 40}, "/value"),
    ({"field": "width", "op": "in", "value": [40, None]}, "/value/1"),
    ({"field": "width", "op": "exists", "value": 1}, "/value"),
    ({"field": "width", "op": "lt", "value": 10**40}, "/value"),
    ({"field": "width", "op": "lt", "value": float("nan")}, "/value"),
    ({"field": "width", "op": "lt", "value": float("inf")}, "/value"),
    ({"field": "taken_at", "op": "lt", "value": "yesterday"}, "/value"),
    ({"field": "taken_at", "op": "lt", "value": "2026-02-30"}, "/value"),
    ({"field": "created_at", "op": "lt", "value": "0001-01-01T00:00:00+14:00"}, "/value"),
    ({"field": "caption", "op": "eq", "value": "\0"}, "/value"),
    ({"field": "caption", "op": "eq", "value": "\ud800"}, "/value"),
    ({"field": "caption", "op": "eq", "value": "x" * 1_001}, "/value"),
    ({"field": "metadata.a\0", "op": "exists"}, "/field"),
    ({"field": "metadata.k", "op": "eq", "value": None}, "/value"),
    ({"field": "metadata.k", "op": "eq", "value": {"a": 1}}, "/value"),
    ({"field": "metadata.k", "op": "lt", "value": True}, "/value"),
    ({"field": "metadata.k", "op": "in", "value": [1, []]}, "/value/1"),
    ({"field": "metadata.k", "op": "eq", "value": 2**53 + 2}, "/value"),
    ({"field": "width", "op": "in", "value": [1] * 1_001}, "/value"),
    ({"or": [{"field": "width", "op": "eq", "value": 1}] * 101}, "/or/100"),
]


@ON_SQLITE
async def test_a_filter_that_cannot_be_read_is_refused_with_the_bad_place(
    client: httpx.AsyncClient,
) -> None:
    """The pointer leads from the request to the place, in a listing and in a search alike."""
    await upload(client)
    for expression, pointer in BAD_FILTERS:
        written = json.dumps(expression)
        answer = await client.get("/v1/images", params={"filter": written})
        assert_problem(answer, 422, "bad-filter", f"/filter{pointer}")
        if isinstance(expression, dict):
            body = json.dumps({"query": [{"text": "red"}], "filter": expression})
            answer = await client.post(
                "/v1/search", content=body, headers={"Content-Type": "application/json"}
            )
            assert_problem(answer, 422, "bad-filter", f"/filter{pointer}")


@ON_SQLITE
async def test_a_filter_nests_to_a_bound(client: httpx.AsyncClient) -> None:
    """Depth is refused before it costs anything."""
    leaf: dict[str, Any] = {"field": "width", "op": "gte", "value": 1}
    for _ in range(7):
        leaf = {"not": leaf}
    assert (await listed(client, filter=json.dumps(leaf)))["total"] == 0
    answer = await client.get("/v1/images", params={"filter": json.dumps({"not": leaf})})
    assert_problem(answer, 422, "bad-filter", "/filter" + "/not" * 8)


async def test_wildcards_in_a_filter_are_plain_characters(client: httpx.AsyncClient) -> None:
    """`%` and `_` stand for themselves, and case does not count in `contains`."""
    for seed, caption in enumerate(["100%", "100x", "a_b", "aXb", "ÄRGER", "back\\slash"]):
        await upload(client, picture_bytes(seed=seed), caption=caption)
    for wanted, captions in [
        ("0%", ["100%"]),
        ("_", ["a_b"]),
        ("A_B", ["a_b"]),
        ("ärger", ["ÄRGER"]),
        ("Ärg", ["ÄRGER"]),
        ("\\", ["back\\slash"]),
        ("", ["back\\slash", "ÄRGER", "aXb", "a_b", "100x", "100%"]),
    ]:
        leaf = {"field": "caption", "op": "contains", "value": wanted}
        page = await listed(client, filter=json.dumps(leaf))
        assert [image["caption"] for image in page["items"]] == captions, wanted
