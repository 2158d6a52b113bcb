"""`/v1/collections` over HTTP, and what a collection's settings do to uploads and searches."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.pictures import copies, picture_bytes, scene

pytestmark = pytest.mark.anyio

RED, GREEN = (255, 0, 0), (0, 255, 0)
DEFAULTS = {
    "description": None,
    "min_score": None,
    "group_duplicates": False,
    "accepts_uploads": True,
    "searched_by_default": True,
}


def at(name: str) -> str:
    """The address of a collection."""
    return f"/v1/collections/{quote(name, safe='')}"


async def made(client: httpx.AsyncClient, name: str, **settings: Any) -> dict[str, Any]:
    """A collection that was not there before."""
    answer = await client.put(at(name), json=settings)
    assert answer.status_code == 201, answer.text
    collection: dict[str, Any] = strict_json(answer)
    return collection


async def found(client: httpx.AsyncClient, *names: str, **params: Any) -> list[str]:
    """The collections of the hits of a search for red, best first."""
    query = [("text", "red"), *(("collection", name) for name in names), *params.items()]
    answer = await client.get("/v1/search", params=query)
    assert answer.status_code == 200, answer.text
    return [hit["image"]["collection"] for hit in answer.json()["hits"]]


async def test_an_upload_makes_its_collection_and_counts_follow(client: httpx.AsyncClient) -> None:
    """Images and bytes of a collection are those that are stored, at every moment."""
    assert strict_json(await client.get("/v1/collections")) == {
        "items": [],
        "next_cursor": None,
        "total": 0,
    }
    assert_problem(await client.get(at("sea")), 404, "not-found")
    one = await upload(client, picture_bytes(seed=1), collection="sea")
    other = await upload(client, picture_bytes(seed=2), collection="sea")
    await upload(client, picture_bytes(seed=1))
    sea = strict_json(await client.get(at("sea")))
    assert sea.pop("created_at")
    held = {"name": "sea", "images": 2, "bytes": one["bytes"] + other["bytes"]}
    assert sea == DEFAULTS | held
    listed = strict_json(await client.get("/v1/collections"))
    assert [(one["name"], one["images"]) for one in listed["items"]] == [("default", 1), ("sea", 2)]
    assert (await client.delete(f"/v1/images/{one['id']}")).status_code == 204
    assert strict_json(await client.get(at("sea")))["images"] == 1


async def test_settings_are_put_patched_and_read_back(client: httpx.AsyncClient) -> None:
    """PUT replaces all of them, PATCH those it names, and null is the default."""
    answer = await client.put(at("art"), json={"description": " Paintings ", "min_score": 0.25})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/collections/art"
    art = strict_json(answer)
    assert (art["description"], art["min_score"], art["images"]) == ("Paintings", 0.25, 0)
    patch = {"min_score": None, "group_duplicates": True, "accepts_uploads": None}
    patched = strict_json(await client.patch(at("art"), json=patch))
    assert patched == art | {"min_score": None, "group_duplicates": True}
    again = await client.put(at("art"), json={"accepts_uploads": False})
    assert again.status_code == 200
    assert strict_json(again) == art | DEFAULTS | {"accepts_uploads": False}
    assert_problem(await client.patch(at("none"), json={}), 404, "not-found")


@ON_SQLITE
async def test_pages_go_by_name(client: httpx.AsyncClient) -> None:
    """Every collection is on just one page, in the order of code points."""
    names = sorted(["B", "a", "é", "日本", "a/b", "z z", "%41", "[x]"])
    for name in reversed(names):
        await made(client, name)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = strict_json(await client.get("/v1/collections", params={"limit": 3} | cursor))
        assert page["total"] == len(names)
        seen += [one["name"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == names
    for name in names:
        assert strict_json(await client.get(at(name)))["name"] == name


BAD_NAMES = ["x" * 101, "a\0", "line\nbreak", "\x1b[31m", "a//b", "../a", "a/..", "/", " "]


@ON_SQLITE
@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_name_that_cannot_be_kept_is_refused_everywhere(
    client: httpx.AsyncClient, name: str
) -> None:
    """By PUT, by a new name and by an upload, and no collection comes of it."""
    await made(client, "good")
    # With a line break it is no address of a collection at all.
    assert (await client.put(at(name), json={})).status_code in {404, 422}
    renamed = await client.patch(at("good"), json={"name": name})
    assert renamed.status_code == 422
    assert [error["pointer"] for error in renamed.json()["errors"]] == ["/name"]
    if name.strip():
        answer = await client.post(
            "/v1/images", files={"file": ("a.png", picture_bytes())}, data={"collection": name}
        )
        assert_problem(answer, 422, "text-rejected", "/collection")
    listed = strict_json(await client.get("/v1/collections"))
    assert [one["name"] for one in listed["items"]] == ["good"]
    assert strict_json(await client.get("/v1/images"))["total"] == 0


@ON_SQLITE
async def test_bodies_that_make_no_sense_are_refused_with_the_bad_place(
    client: httpx.AsyncClient,
) -> None:
    """Unknown members, scores that are none, texts that can't be stored, foreign cursors."""
    for body, pointer in (
        ({"min_score": 2}, "/min_score"),
        ({"min_score": "high"}, "/min_score"),
        ({"description": "\0"}, "/description"),
        ({"description": "x" * 10_001}, "/description"),
        ({"accepts_uploads": "perhaps"}, "/accepts_uploads"),
        ({"colour": "red"}, "/colour"),
    ):
        assert_problem(await client.put(at("a"), json=body), 422, "invalid-request", pointer)
    assert_problem(await client.get(at("a")), 404, "not-found")
    for cursor in ("x", "eyJuIjogMX0=", "eyJuIjogIlx1MDAwMCJ9", "eyJuIjogIlx1ZDgwMCJ9"):
        answer = await client.get("/v1/collections", params={"cursor": cursor})
        assert_problem(answer, 422, "bad-cursor")


async def test_a_collection_with_images_goes_only_when_that_is_asked_for(
    client: httpx.AsyncClient,
) -> None:
    """Images are never lost by accident; those of other collections stay, and shared bytes too."""
    shared = picture_bytes(seed=1)
    kept = await upload(client, shared, collection="kept")
    gone = [await upload(client, shared, collection="gone")]
    gone += [await upload(client, picture_bytes(seed=seed), collection="gone") for seed in (2, 3)]
    problem = assert_problem(await client.delete(at("gone")), 409, "collection-not-empty")
    assert "3 images" in problem["detail"]
    assert strict_json(await client.get(at("gone")))["images"] == 3
    answer = await client.delete(at("gone"), params={"with_images": True})
    assert answer.status_code == 204
    assert_problem(await client.get(at("gone")), 404, "not-found")
    for image in gone:
        assert_problem(await client.get(f"/v1/images/{image['id']}"), 404, "not-found")
    assert await found(client) == ["kept"]
    assert (await client.get(kept["urls"]["file"])).content == shared
    await made(client, "empty")
    assert (await client.delete(at("empty"))).status_code == 204
    assert_problem(await client.delete(at("empty")), 404, "not-found")


async def test_a_rename_takes_the_images_along(client: httpx.AsyncClient) -> None:
    """They are found under the new name alone; a name that is taken is refused."""
    image = await upload(client, picture_bytes(), collection="old")
    await made(client, "taken")
    problem = assert_problem(
        await client.patch(at("old"), json={"name": "taken", "min_score": 0.5}), 409, "conflict"
    )
    assert "taken" in problem["detail"]
    assert strict_json(await client.get(at("old")))["min_score"] is None
    answer = await client.patch(at("old"), json={"name": "new/ö", "description": "d"})
    assert answer.headers["content-location"] == "/v1/collections/new/%C3%B6"
    renamed = strict_json(answer)
    assert (renamed["name"], renamed["images"], renamed["description"]) == ("new/ö", 1, "d")
    assert strict_json(await client.get(f"/v1/images/{image['id']}"))["collection"] == "new/ö"
    assert await found(client, "new/ö") == ["new/ö"]
    assert await found(client, "old") == []
    assert_problem(await client.get(at("old")), 404, "not-found")
    again = await client.post(
        "/v1/images", files={"file": ("a.png", picture_bytes())}, data={"collection": "new/ö"}
    )
    assert (again.status_code, again.json()["id"]) == (200, image["id"])


async def test_a_closed_collection_takes_no_uploads(client: httpx.AsyncClient) -> None:
    """Alone, in a batch and by an import of pairs; what it has stays as it is."""
    present = await upload(client, picture_bytes(seed=1), collection="closed")
    await client.patch(at("closed"), json={"accepts_uploads": False})
    fresh = {"file": ("a.png", picture_bytes(seed=2))}
    answer = await client.post("/v1/images", files=fresh, data={"collection": "closed"})
    assert_problem(answer, 409, "collection-closed", "/collection")
    batch = await client.post(
        "/v1/images/batch",
        files=[("files", ("a.png", picture_bytes(seed=2)))],
        data={"collection": "closed"},
    )
    (item,) = batch.json()["items"]
    assert (item["status"], item["problem"]["status"]) == ("rejected", 409)
    table, pictures = b"image,text\na.png,red\n", io.BytesIO()
    with zipfile.ZipFile(pictures, "w") as archive:
        archive.writestr("a.png", picture_bytes(seed=2))
    pairs = await client.post(
        "/v1/pairs/import",
        files=[("file", ("t.csv", table)), ("file", ("p.zip", pictures.getvalue()))],
        data={"collection": "closed"},
    )
    (refused,) = strict_json(pairs)["refused"]
    assert "takes no uploads" in refused["reason"]
    again = await upload(client, picture_bytes(seed=1), collection="closed")
    assert (again["id"], again["created"]) == (present["id"], False)
    assert strict_json(await client.get(at("closed")))["images"] == 1
    assert (await client.patch(f"/v1/images/{present['id']}", json={"caption": "c"})).is_success
    await client.patch(at("closed"), json={"accepts_uploads": True})
    assert (await upload(client, picture_bytes(seed=2), collection="closed"))["created"] is True


async def test_one_that_is_to_be_named_is_left_out_of_searches_that_name_none(
    client: httpx.AsyncClient,
) -> None:
    """Over all means over those searched by default; named, it is searched with any others."""
    for seed, name in enumerate("ab"):
        await upload(client, picture_bytes(RED, seed=seed), collection=name)
    await upload(client, picture_bytes(RED, seed=9), collection="archive")
    await client.patch(at("archive"), json={"searched_by_default": False})
    assert sorted(await found(client)) == ["a", "b"]
    assert await found(client, "archive") == ["archive"]
    assert sorted(await found(client, "archive", "b")) == ["archive", "b"]
    by_picture = await client.post(
        "/v1/search/image", files={"file": ("a.png", picture_bytes(RED, seed=9))}
    )
    assert {hit["image"]["collection"] for hit in by_picture.json()["hits"]} == {"a", "b"}
    composed = await client.post("/v1/search", json={"query": [{"text": "red"}]})
    assert {hit["image"]["collection"] for hit in composed.json()["hits"]} == {"a", "b"}
    await client.patch(at("archive"), json={"searched_by_default": None})
    assert len(await found(client)) == 3


async def test_every_kind_of_search_takes_one_several_or_all(client: httpx.AsyncClient) -> None:
    """A list or a name in JSON, a repeated field of a form, a repeated parameter."""
    for seed, name in enumerate("abc"):
        await upload(client, picture_bytes(RED, seed=seed), collection=name)
    for given, expected in (("b", "b"), (["b"], "b"), (["c", "a"], "ac"), ([], "abc")):
        body = {"query": [{"text": "red"}], "collection": given}
        answer = await client.post("/v1/search", json=body)
        assert sorted(hit["image"]["collection"] for hit in answer.json()["hits"]) == list(expected)
        form = await client.post(
            "/v1/search/image",
            files={"file": ("a.png", picture_bytes(RED, seed=8))},
            data={"collection": given, "text": "red"},
        )
        assert sorted(hit["image"]["collection"] for hit in form.json()["hits"]) == list(expected)
    answer = await client.get("/v1/search", params={"text": "red", "collection": ["a", "missing"]})
    assert [hit["image"]["collection"] for hit in answer.json()["hits"]] == ["a"]
    assert any("missing" in warning for warning in answer.json()["warnings"])
    many = {"query": [{"text": "red"}], "collection": ["x"] * 101}
    assert_problem(
        await client.post("/v1/search", json=many), 422, "invalid-request", "/collection"
    )
    bad = await client.post(
        "/v1/search/image",
        files={"file": ("a.png", picture_bytes())},
        data={"collection": ["a", "\0"]},
    )
    assert_problem(bad, 422, "invalid-request", "/collection/1")


@ON_SQLITE
async def test_a_collections_own_least_score_holds_where_it_alone_is_searched(
    client: httpx.AsyncClient,
) -> None:
    """A request's own score comes first, and together with others nothing is cut."""
    await upload(client, picture_bytes(RED), collection="a")
    await upload(client, picture_bytes(GREEN), collection="a")
    await upload(client, picture_bytes(GREEN), collection="b")
    await client.patch(at("a"), json={"min_score": 0.5})
    assert len(await found(client, "a")) == 1
    assert len(await found(client, "a", min_score=-1)) == 2
    assert len(await found(client, "a", "b")) == 3
    assert len(await found(client)) == 3
    by_picture = await client.post(
        "/v1/search/image",
        files={"file": ("a.png", picture_bytes(RED, seed=5))},
        data={"collection": "a"},
    )
    assert len(by_picture.json()["hits"]) == 1


@ON_SQLITE
async def test_copies_are_stacked_by_default_where_the_collection_says_so(
    client: httpx.AsyncClient,
) -> None:
    """Unless the request says otherwise, and only where it alone is searched."""
    for number, content in enumerate(copies(scene(1))):
        await upload(client, content, f"{number}", collection="a")
    await made(client, "b")
    await client.patch(at("a"), json={"group_duplicates": True})
    assert len(await found(client, "a")) == 1
    assert len(await found(client, "a", group_duplicates=False)) == 3
    assert len(await found(client, "a", "b")) == 3
    assert len(await found(client)) == 3


async def test_paging_goes_on_over_several_collections(client: httpx.AsyncClient) -> None:
    """Each hit is on one page, and a cursor of other collections is refused."""
    for seed in range(6):
        await upload(client, picture_bytes(RED, seed=seed), collection="abc"[seed % 3])
    body: dict[str, Any] = {"query": [{"text": "red"}], "collection": ["a", "b"], "limit": 3}
    first = strict_json(await client.post("/v1/search", json=body))
    body["cursor"] = first["next_cursor"]
    second = strict_json(await client.post("/v1/search", json=body))
    ids = [hit["image"]["id"] for hit in first["hits"] + second["hits"]]
    assert len(set(ids)) == 4
    assert second["next_cursor"] is None
    body["collection"] = ["a", "c"]
    assert_problem(await client.post("/v1/search", json=body), 422, "bad-cursor")
