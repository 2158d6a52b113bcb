"""`/v1/pairs`: add, import, list, check, export, delete; bad lines never stop good ones."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip file of these files."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in files.items():
            writer.writestr(name, content)
    return archive.getvalue()


async def imported(
    client: httpx.AsyncClient, *files: tuple[str, bytes], **fields: str
) -> dict[str, Any]:
    """What became of an import that must be taken."""
    answer = await client.post(
        "/v1/pairs/import", files=[("file", file) for file in files], data=fields
    )
    assert answer.status_code == 200, answer.text
    outcome: dict[str, Any] = strict_json(answer)
    return outcome


async def listed(client: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    """The pairs of one page."""
    answer = await client.get("/v1/pairs", params=parameters)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = strict_json(answer)["items"]
    return items


async def test_pairs_of_stored_images_are_added_once(client: httpx.AsyncClient) -> None:
    """By id and by digest; several texts of an image; the same pair again is counted apart."""
    image = await upload(client)
    body = {
        "pairs": [
            {"image_id": image["id"], "text": " a red\n square "},
            {"sha256": image["sha256"].upper(), "text": "crimson"},
            {"image_id": image["id"], "text": "a red square"},
            {"image_id": "0123456789abcdef", "text": "nothing"},
            {"image_id": image["id"], "text": " \u200b "},
        ]
    }
    first = strict_json(await client.post("/v1/pairs", json=body))
    assert (first["added"], first["existing"], first["refused_total"]) == (2, 1, 2)
    assert [one["line"] for one in first["refused"]] == [4, 5]
    again = strict_json(await client.post("/v1/pairs", json=body))
    assert (again["added"], again["existing"]) == (0, 3)
    items = await listed(client)
    assert [item["text"] for item in items] == ["crimson", "a red square"]
    assert {item["image_id"] for item in items} == {image["id"]}
    thumbnail = await client.get(items[0]["image"]["urls"]["thumbnail"])
    assert thumbnail.status_code == 200


async def test_a_table_and_a_zip_of_pictures_are_taken_together(client: httpx.AsyncClient) -> None:
    """The pictures become searchable images; sent again, nothing is added twice."""
    table = "image\ttext\nred.png\ta red square\nred.png\tcrimson\nsub/blue.png\ta blue square\n"
    pictures = zipped(
        {
            "red.png": picture_bytes(),
            "sub/blue.png": picture_bytes((0, 0, 255)),
            "unused.png": picture_bytes((0, 255, 0)),
        }
    )
    files = (("pairs.tsv", table.encode()), ("photos.zip", pictures))
    outcome = await imported(client, *files)
    assert outcome == {
        "added": 3,
        "existing": 0,
        "images_added": 2,
        "files_unused": 1,
        "refused_total": 0,
        "refused": [],
    }
    hits = strict_json(await client.get("/v1/search", params={"text": "blue"}))["hits"]
    assert hits[0]["image"]["filename"] == "blue.png"
    outcome = await imported(client, *files)
    assert (outcome["added"], outcome["existing"], outcome["images_added"]) == (0, 3, 0)


@ON_SQLITE
async def test_a_zip_may_hold_the_table_too(client: httpx.AsyncClient) -> None:
    """The table's folder, and `images` beside it, are looked in."""
    rows = [
        {"image": "a.png", "texts": ["red", "crimson"]},
        {"image": "b.png", "text": "blue"},
        {"image": "nowhere.png", "text": "nothing"},
    ]
    archive = zipped(
        {
            "set/pairs.jsonl": "\n".join(json.dumps(row) for row in rows).encode(),
            "set/images/a.png": picture_bytes(),
            "set/b.png": picture_bytes((0, 0, 255)),
            "other/a.png": picture_bytes((0, 255, 0)),
        }
    )
    outcome = await imported(client, ("set.zip", archive), collection="shop")
    assert (outcome["added"], outcome["images_added"], outcome["refused_total"]) == (3, 2, 1)
    assert outcome["files_unused"] == 1
    assert outcome["refused"][0]["line"] == 3
    images = strict_json(await client.get("/v1/images", params={"collection": "shop"}))
    assert {image["filename"] for image in images["items"]} == {"a.png", "b.png"}
    texts = {pair["text"]: pair["image"]["filename"] for pair in await listed(client)}
    assert texts == {"red": "a.png", "crimson": "a.png", "blue": "b.png"}


@ON_SQLITE
async def test_a_damaged_picture_refuses_its_lines_alone(client: httpx.AsyncClient) -> None:
    """Each of its lines says why; the good picture's pairs are kept."""
    table = b"image,text\nbad.png,one\nbad.png,two\ngood.png,three\n"
    files = {"bad.png": picture_bytes()[:60], "good.png": picture_bytes()}
    outcome = await imported(client, ("t.csv", table), ("p.zip", zipped(files)))
    assert outcome["added"] == 1
    assert [one["line"] for one in outcome["refused"]] == [2, 3]
    assert all("can't" in one["reason"] or "cannot" in one["reason"] for one in outcome["refused"])


@ON_SQLITE
async def test_pages_of_one_side_and_of_one_image(client: httpx.AsyncClient) -> None:
    """Both sides together are all pairs; a page never repeats or skips one."""
    images = [await upload(client, picture_bytes(seed=seed), f"{seed}.png") for seed in range(3)]
    pairs = [{"image_id": image["id"], "text": f"text {n}"} for image in images for n in range(3)]
    await client.post("/v1/pairs", json={"pairs": pairs})
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = strict_json(await client.get("/v1/pairs", params=query))
        assert page["total"] == 9
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 9
    assert len(await listed(client, image_id=images[0]["id"])) == 3
    sides = [await listed(client, split=side) for side in ("train", "validation")]
    assert sorted(item["id"] for side in sides for item in side) == sorted(seen)


async def test_a_pair_that_is_deleted_leaves_its_image(client: httpx.AsyncClient) -> None:
    """And an image that is deleted takes its pairs with it."""
    image = await upload(client)
    pairs = [{"image_id": image["id"], "text": text} for text in ("one", "two")]
    await client.post("/v1/pairs", json={"pairs": pairs})
    (two, one) = await listed(client)
    assert (await client.delete(f"/v1/pairs/{two['id']}")).status_code == 204
    assert [pair["id"] for pair in await listed(client)] == [one["id"]]
    assert_problem(await client.delete(f"/v1/pairs/{two['id']}"), 404, "not-found")
    assert (await client.delete(f"/v1/images/{image['id']}")).status_code == 204
    assert await listed(client) == []


@ON_SQLITE
async def test_the_export_is_read_back(client: httpx.AsyncClient) -> None:
    """In both formats, on the same library, nothing is new and nothing is refused."""
    image = await upload(client)
    texts = ['"quoted"', 'say "hi"', '"', "tab\tand\nline", "naïve café 猫"]
    pairs = [{"image_id": image["id"], "text": text} for text in texts]
    await client.post("/v1/pairs", json={"pairs": pairs})
    for kind in ("tsv", "jsonl"):
        answer = await client.get("/v1/pairs/export", params={"format": kind})
        assert answer.status_code == 200
        assert f"pairs.{kind}" in answer.headers["content-disposition"]
        outcome = await imported(client, (f"pairs.{kind}", answer.content))
        assert (outcome["added"], outcome["existing"], outcome["refused"]) == (0, 5, [])


@ON_SQLITE
async def test_an_export_is_read_where_the_images_have_other_ids(client: httpx.AsyncClient) -> None:
    """They are found by their digest; an image that is nowhere refuses its lines."""
    images = [await upload(client, picture_bytes(seed=seed), f"{seed}.png") for seed in range(2)]
    pairs = [{"image_id": image["id"], "text": f"text of {image['id']}"} for image in images]
    await client.post("/v1/pairs", json={"pairs": pairs})
    table = (await client.get("/v1/pairs/export")).content
    for image in images:
        await client.delete(f"/v1/images/{image['id']}")
    again = await upload(client, picture_bytes(seed=0), "0.png")
    assert again["id"] != images[0]["id"]
    outcome = await imported(client, ("pairs.tsv", table))
    assert (outcome["added"], outcome["refused_total"]) == (1, 1)
    assert [pair["image_id"] for pair in await listed(client)] == [again["id"]]


@ON_SQLITE
async def test_the_check_says_what_is_wrong(client: httpx.AsyncClient) -> None:
    """Nothing at first; then few images with one text that is too long."""
    check = strict_json(await client.get("/v1/pairs/check"))
    assert [finding["code"] for finding in check["findings"]] == ["no_pairs"]
    assert not check["is_trainable"]
    image = await upload(client)
    other = await upload(client, picture_bytes((0, 0, 255)), "blue.png")
    text = "one word and another until it is over the length"
    pairs = [{"image_id": one["id"], "text": text} for one in (image, other)]
    await client.post("/v1/pairs", json={"pairs": pairs})
    check = strict_json(await client.get("/v1/pairs/check"))
    found = {finding["code"]: finding for finding in check["findings"]}
    assert {"too_few_pairs", "one_text", "texts_too_long"} <= set(found)
    assert found["texts_too_long"]["examples"] == [{"image_id": None, "text": text}]
    assert (check["pairs"], check["images"], check["texts"]) == (2, 2, 1)


@ON_SQLITE
@pytest.mark.parametrize(
    ("files", "name"),
    [
        ([("t.tsv", b"")], "bad-table"),
        ([("t.tsv", b"a\tb\tc\n1\t2\t3\n")], "bad-table"),
        ([("t.csv", b"image,image_id\nx,y\n")], "bad-table"),
        ([("p.zip", zipped({"a.png": b"x"}))], "bad-table"),
        ([("p.zip", zipped({"a.tsv": b"x\ty", "b.tsv": b"x\ty"}))], "bad-table"),
        ([("p.zip", b"PK\x03\x04 and then nothing")], "bad-archive"),
        ([("p.zip", zipped({"a.tsv": b"x\ty"})), ("q.zip", zipped({}))], "bad-table"),
        ([("t.tsv", b"x\ty"), ("u.tsv", b"x\ty")], "bad-table"),
        ([], "invalid-request"),
    ],
)
async def test_what_is_no_table_at_all_is_refused(
    client: httpx.AsyncClient, files: list[tuple[str, bytes]], name: str
) -> None:
    """Nothing is added, and the detail says what to send."""
    answer = await client.post(
        "/v1/pairs/import",
        files=[("file", file) for file in files] or None,
        data={"collection": "x"} if files else None,
        headers=None if files else {"content-type": "multipart/form-data; boundary=b"},
        content=None if files else b"--b--\r\n",
    )
    assert_problem(answer, 422, name)
    assert await listed(client) == []


@ON_SQLITE
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pairs": []},
        {"pairs": [{"text": "no image"}]},
        {"pairs": [{"image_id": "x", "sha256": "0" * 64, "text": "two images"}]},
        {"pairs": [{"image_id": "x"}]},
        {"pairs": [{"image_id": "x", "text": "a\0b"}]},
        {"pairs": [{"image_id": "x", "text": "a" * 10_001}]},
        {"pairs": [{"sha256": "short", "text": "a"}]},
        {"pairs": [{"image_id": "x", "text": "a"}] * 1_001},
        {"pairs": [{"image_id": "x", "text": "a", "weight": 1}]},
    ],
)
async def test_a_body_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """By the place of the fault."""
    assert_problem(await client.post("/v1/pairs", json=body), 422, "invalid-request")


@ON_SQLITE
async def test_nonsense_in_the_address_is_refused(client: httpx.AsyncClient) -> None:
    """Sides and formats are named; a cursor is one of ours."""
    for query in ("split=test", "limit=0", "limit=1001"):
        answer = await client.get(f"/v1/pairs?{query}")
        assert_problem(answer, 422, "invalid-request")
    assert_problem(await client.get("/v1/pairs?cursor=x"), 422, "bad-cursor")
    assert_problem(await client.get("/v1/pairs/export?format=xml"), 422, "invalid-request")
