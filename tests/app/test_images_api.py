"""`/v1/images`: what is stored, changed and removed, and what the answers say."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from PIL import Image

from app.settings import Settings
from tests.app.asking import (
    ON_SQLITE,
    assert_problem,
    assert_problem_document,
    strict_json,
    upload,
)
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio


def stored_files(settings: Settings) -> list[Path]:
    """Every image file, thumbnail and unfinished upload in the data folder."""
    folders = [settings.data_dir / name for name in ("blobs", "thumbnails", "incoming")]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


async def test_an_uploaded_image_is_found_at_once(client: httpx.AsyncClient) -> None:
    """The image is searchable before the answer to its upload is sent."""
    answer = await client.post(
        "/v1/images",
        files={"file": ("red.png", picture_bytes((255, 0, 0)))},
        data={"tags": ["a", "b"], "caption": "red", "metadata": '{"k": 1}'},
    )
    assert answer.status_code == 201, answer.text
    image = strict_json(answer)
    assert image["created"] is True
    assert image["tags"] == ["a", "b"]
    assert image["metadata"] == {"k": 1}
    assert (image["format"], image["width"], image["height"]) == ("png", 40, 30)
    assert answer.headers["location"] == f"/v1/images/{image['id']}"
    found = strict_json(await client.get("/v1/search", params={"text": "red"}))
    assert [hit["image"]["id"] for hit in found["hits"]] == [image["id"]]
    assert found["hits"][0]["score"] > 0.9


async def test_the_same_bytes_twice_are_one_image(client: httpx.AsyncClient) -> None:
    """The second upload answers 200 with the image there is, its words unchanged."""
    first = await upload(client, tags=["kept"])
    again = await client.post(
        "/v1/images",
        files={"file": ("other.png", picture_bytes())},
        data={"tags": ["not kept"]},
    )
    assert again.status_code == 200
    second = strict_json(again)
    assert second["created"] is False
    assert second | {"created": True} == first
    assert strict_json(await client.get("/v1/images"))["total"] == 1


async def test_the_same_bytes_in_two_collections_are_two_images(client: httpx.AsyncClient) -> None:
    """Deleting one of them leaves the other with its file."""
    one = await upload(client, collection="one")
    other = await upload(client, collection="other")
    assert one["id"] != other["id"]
    assert one["sha256"] == other["sha256"]
    assert (await client.delete(f"/v1/images/{one['id']}")).status_code == 204
    file = await client.get(other["urls"]["file"])
    assert hashlib.sha256(file.content).hexdigest() == other["sha256"]
    listed = strict_json(await client.get("/v1/images", params={"collection": "one"}))
    assert listed == {"items": [], "next_cursor": None, "total": 0}


async def test_one_bad_file_of_a_batch_never_fails_the_good_ones(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Each file has its own outcome, in the order sent, whatever is wrong with others."""
    good = picture_bytes((0, 255, 0))
    files = [
        ("good.png", good, "created", None),
        ("broken.png", good[: len(good) // 2], "rejected", "damaged-image"),
        ("too large.png", b"\x89PNG" + bytes(settings.max_bytes), "rejected", "image-too-large"),
        ("empty.png", b"", "rejected", "empty-image"),
        ("text.png", b"just some words", "rejected", "unsupported-format"),
        ("blue.png", picture_bytes((0, 0, 255)), "created", None),
        ("grün.png", picture_bytes((0, 200, 0), seed=3), "created", None),
    ]
    answer = await client.post(
        "/v1/images/batch",
        files=[("files", (name, data)) for name, data, *_ in files],
        data={"tags": ["batch"]},
    )
    assert answer.status_code == 200, answer.text
    items = strict_json(answer)["items"]
    assert [(item["filename"], item["status"]) for item in items] == [
        (name, status) for name, _, status, _ in files
    ]
    for item, (_, _, status, problem) in zip(items, files, strict=True):
        if status == "rejected":
            assert_problem_document(item["problem"])
            assert item["problem"]["type"].endswith(f":{problem}")
            assert item["image"] is None
        else:
            assert item["image"]["tags"] == ["batch"]
            assert item["problem"] is None
    again = await client.post("/v1/images/batch", files=[("files", ("again.png", good))])
    assert strict_json(again)["items"][0]["status"] == "exists"
    assert strict_json(await client.get("/v1/images"))["total"] == 3
    # A file and a thumbnail for each image, and nothing of the refused ones.
    assert len(stored_files(settings)) == 6


async def test_a_file_twice_in_one_batch_is_one_image(client: httpx.AsyncClient) -> None:
    """One of the two is created and the other exists, and both answers name the same image."""
    data = picture_bytes()
    answer = await client.post(
        "/v1/images/batch", files=[("files", (f"{n}.png", data)) for n in range(4)]
    )
    items = strict_json(answer)["items"]
    assert sorted(item["status"] for item in items) == ["created", "exists", "exists", "exists"]
    assert len({item["image"]["id"] for item in items}) == 1


@ON_SQLITE
async def test_too_many_files_in_a_batch_are_refused_before_any_is_stored(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """The cap on files holds while they arrive."""
    files = [("files", (f"{n}.png", picture_bytes(seed=n))) for n in range(21)]
    answer = await client.post("/v1/images/batch", files=files)
    assert_problem(answer, 422, "invalid-request", "/files")
    assert stored_files(settings) == []


@ON_SQLITE
@pytest.mark.parametrize(
    ("digest", "name"),
    [
        ("0" * 64, "digest-mismatch"),
        ("F" * 64, "digest-mismatch"),
        ("", "invalid-request"),
        ("abc", "invalid-request"),
        ("g" * 64, "invalid-request"),
        ("é" * 64, "invalid-request"),
    ],
)
async def test_a_wrong_digest_refuses_the_file(
    client: httpx.AsyncClient, settings: Settings, digest: str, name: str
) -> None:
    """Bytes that are not those announced are stored nowhere."""
    answer = await client.post(
        "/v1/images", files={"file": ("a.png", picture_bytes())}, data={"sha256": digest}
    )
    assert_problem(answer, 422, name, "/sha256")
    assert stored_files(settings) == []
    assert strict_json(await client.get("/v1/images"))["total"] == 0


@ON_SQLITE
async def test_the_right_digest_in_capitals_is_the_right_digest(client: httpx.AsyncClient) -> None:
    """Hexadecimal digits have no case."""
    data = picture_bytes()
    digest = hashlib.sha256(data).hexdigest()
    image = await upload(client, data, sha256=digest.upper())
    assert image["sha256"] == digest


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@ON_SQLITE
@pytest.mark.parametrize(
    ("data", "status", "name"),
    [
        (SVG, 415, "unsupported-format"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>" + SVG, 415, "unsupported-format"),
        (b"<!doctype html><script>alert(1)</script>", 415, "unsupported-format"),
        (b"GIF89a<script>alert(1)</script>", 422, "damaged-image"),
        (b"%PDF-1.7", 415, "unsupported-format"),
        (b"\0" * 1_000, 415, "unsupported-format"),
        (b"", 422, "empty-image"),
        (b"\x89PNG" + bytes(200_000), 413, "request-too-large"),
    ],
)
async def test_what_is_no_picture_is_refused_and_stored_nowhere(
    client: httpx.AsyncClient, settings: Settings, data: bytes, status: int, name: str
) -> None:
    """The content decides, whatever the name and the announced type say."""
    answer = await client.post("/v1/images", files={"file": ("photo.jpg", data, "image/jpeg")})
    assert_problem(answer, status, name)
    assert stored_files(settings) == []
    assert strict_json(await client.get("/v1/images"))["total"] == 0


@ON_SQLITE
async def test_a_picture_over_the_pixel_cap_is_refused_by_its_header(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """A few bytes that unfold to more pixels than allowed never unfold."""
    bomb = io.BytesIO()
    Image.new("RGB", (1_001, 1_000)).save(bomb, "PNG")
    answer = await client.post("/v1/images", files={"file": ("bomb.png", bomb.getvalue())})
    assert_problem(answer, 413, "image-too-large")
    assert stored_files(settings) == []


IDS = ["9223372036854775808", "1" + 40 * "0", "-1", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00"]
IDS += ["%FF%FE", "a" * 300, "'%20OR%201=1", "%F0%9F%A6%8A", "null"]


async def test_an_id_that_is_no_image_is_not_found(client: httpx.AsyncClient) -> None:
    """Reading, changing and deleting anything unknown is 404, or 422 for what no id can be."""
    kept = await upload(client)
    for image_id in IDS:
        await assert_unknown_everywhere(client, image_id)
    assert (await client.get(f"/v1/images/{kept['id']}")).status_code == 200


async def assert_unknown_everywhere(client: httpx.AsyncClient, image_id: str) -> None:
    """Every path with an id in it says that there is no such thing."""
    answers = [
        await client.get(f"/v1/images/{image_id}"),
        await client.patch(f"/v1/images/{image_id}", json={"caption": "x"}),
        await client.delete(f"/v1/images/{image_id}"),
        await client.get(f"/v1/images/{image_id}/file"),
        await client.get(f"/v1/images/{image_id}/thumbnail"),
        await client.get(f"/v1/jobs/{image_id}"),
        await client.post(f"/v1/jobs/{image_id}/cancel"),
        await client.get(f"/v1/jobs/{image_id}/events"),
        await client.get(f"/v1/models/{image_id}"),
    ]
    for answer in answers:
        if answer.status_code == 422:
            assert_problem(answer, 422, "invalid-request")
        else:
            assert_problem(answer, 404, "not-found")


async def test_a_deleted_image_is_gone_everywhere(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """From the answer to the deletion on, nothing finds, lists or serves it."""
    gone = await upload(client)
    kept = await upload(client, picture_bytes((0, 0, 255)))
    assert (await client.delete(f"/v1/images/{gone['id']}")).status_code == 204
    for path in ("", "/file", "/thumbnail"):
        assert_problem(await client.get(f"/v1/images/{gone['id']}{path}"), 404, "not-found")
    assert_problem(await client.delete(f"/v1/images/{gone['id']}"), 404, "not-found")
    listed = strict_json(await client.get("/v1/images"))
    assert [image["id"] for image in listed["items"]] == [kept["id"]]
    assert listed["total"] == 1
    hits = strict_json(await client.get("/v1/search", params={"text": "red"}))["hits"]
    assert [hit["image"]["id"] for hit in hits] == [kept["id"]]
    query = {"query": [{"image_id": gone["id"]}]}
    assert_problem(await client.post("/v1/search", json=query), 404, "not-found")
    assert len(stored_files(settings)) == 2
    # The same bytes are welcome again, as a new image.
    assert (await upload(client))["created"] is True


PATCHES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"caption": "new"}, {"caption": "new"}),
    ({"caption": None}, {"caption": None}),
    ({"tags": ["c", " a ", "a", "", "c"]}, {"tags": ["c", "a"]}),
    ({"tags": None}, {"tags": []}),
    ({"tags": []}, {"tags": []}),
    ({"metadata": None}, {"metadata": {}}),
    ({"metadata": {}}, {}),
    ({"metadata": {"absent": None}}, {}),
    ({"metadata": {"place": "here"}}, {"metadata": {"place": "here", "n": 1}}),
    (
        {"metadata": {"place": {"city": None, "land": "F"}, "new": [1, None]}},
        {"metadata": {"place": {"street": "s", "land": "F"}, "n": 1, "new": [1, None]}},
    ),
    (
        {"metadata": {"n": {"a": {"b": None, "c": 1}}}},
        {"metadata": {"place": {"city": "x", "street": "s"}, "n": {"a": {"c": 1}}}},
    ),
]


async def test_a_patch_changes_what_it_names_and_nothing_else(client: httpx.AsyncClient) -> None:
    """Null removes, objects merge, lists are replaced whole (RFC 7396)."""
    words = {
        "tags": ["a", "b"],
        "caption": "old",
        "metadata": '{"place": {"city": "x", "street": "s"}, "n": 1}',
    }
    for seed, (patch, expected) in enumerate(PATCHES):
        before = await upload(client, picture_bytes(seed=seed), **words)
        answer = await client.patch(f"/v1/images/{before['id']}", json=patch)
        assert answer.status_code == 200, answer.text
        assert strict_json(answer) == before | {"created": None} | expected, patch
        read = strict_json(await client.get(f"/v1/images/{before['id']}"))
        assert read == strict_json(answer)


@ON_SQLITE
@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"caption": 1}, "/caption"),
        ({"caption": "x" * 10_001}, "/caption"),
        ({"caption": "a\0b"}, "/caption"),
        ({"tags": "a"}, "/tags"),
        ({"tags": ["a", None]}, "/tags/1"),
        ({"tags": ["x" * 101]}, "/tags/0"),
        ({"tags": [str(n) for n in range(101)]}, "/tags"),
        ({"metadata": []}, "/metadata"),
        ({"metadata": {"a/b": {"~": "\0"}}}, "/metadata/a~1b/~0"),
        ({"filename": "new"}, "/filename"),
        ({"collection": "new"}, "/collection"),
        ({"caption": "fine", "other": 1}, "/other"),
    ],
)
async def test_a_patch_that_makes_no_sense_changes_nothing(
    client: httpx.AsyncClient, patch: dict[str, Any], pointer: str
) -> None:
    """Each refusal points at the field, and the image stays as it was."""
    before = await upload(client, caption="old")
    answer = await client.patch(f"/v1/images/{before['id']}", json=patch)
    problem = assert_problem(answer, 422, answer.json()["type"].rpartition(":")[2], pointer)
    assert problem["type"].endswith((":invalid-request", ":text-rejected"))
    after = strict_json(await client.get(f"/v1/images/{before['id']}"))
    assert after == before | {"created": None}


async def test_patches_sent_at_once_are_all_kept(client: httpx.AsyncClient) -> None:
    """Twelve clients that each add a key lose none of them."""
    image = await upload(client)

    async def add(number: int) -> None:
        patch = {"metadata": {f"k{number}": number}}
        assert (await client.patch(f"/v1/images/{image['id']}", json=patch)).status_code == 200

    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(add, number)
    read = strict_json(await client.get(f"/v1/images/{image['id']}"))
    assert read["metadata"] == {f"k{number}": number for number in range(12)}


async def test_an_image_deleted_by_several_at_once_is_deleted_once(
    client: httpx.AsyncClient,
) -> None:
    """One of them is told that it is gone now, the others that there is no such image."""
    image = await upload(client)
    answers: list[httpx.Response] = []

    async def delete() -> None:
        answers.append(await client.delete(f"/v1/images/{image['id']}"))

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(delete)
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404, 404]
