"""A zip file in a batch upload: its pictures are taken, hostile entries are refused by name."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import httpx
import pytest

from tests.app.asking import ON_SQLITE, assert_problem_document, strict_json
from tests.pictures import picture_bytes

pytestmark = [pytest.mark.anyio, ON_SQLITE]


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A zip file of these entries."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, data in entries:
            writer.writestr(name, data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


async def batch(
    client: httpx.AsyncClient, *files: tuple[str, bytes], **fields: Any
) -> list[dict[str, Any]]:
    """The items of the answer, whose problems have the one shape of all."""
    answer = await client.post(
        "/v1/images/batch", files=[("files", file) for file in files], data=fields
    )
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = strict_json(answer)["items"]
    for item in items:
        assert (item["status"] == "rejected") == (item["problem"] is not None)
        if item["problem"] is not None:
            assert_problem_document(item["problem"])
    return items


async def test_hostile_entries_are_refused_and_the_rest_is_imported(
    client: httpx.AsyncClient,
) -> None:
    """Out of the archive, absolute, a link, a bomb, an archive in it; a text is no picture."""
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    archive = zipped(
        ("holiday/red.png", picture_bytes()),
        ("../up.png", picture_bytes(seed=1)),
        ("/abs.png", picture_bytes(seed=2)),
        (link, b"/etc/passwd"),
        ("bomb.png", bytes(1_000_000)),
        ("inner.zip", zipped(("x.png", picture_bytes(seed=3)))),
        ("notes.txt", b"no picture"),
        ("holiday/blue.png", picture_bytes((0, 0, 255))),
    )
    items = await batch(client, ("photos.zip", archive), tags="sea", collection="shop")
    taken = {item["filename"]: item["image"] for item in items if item["status"] == "created"}
    assert set(taken) == {"red.png", "blue.png"}
    assert taken["red.png"]["metadata"] == {"path": "holiday/red.png"}
    assert (taken["red.png"]["tags"], taken["red.png"]["collection"]) == (["sea"], "shop")
    refused = {item["filename"]: item["problem"] for item in items if item["status"] == "rejected"}
    assert set(refused) == {"up.png", "abs.png", "link.png", "bomb.png", "inner.zip", "notes.txt"}
    kinds = {name: problem["type"].rpartition(":")[2] for name, problem in refused.items()}
    assert kinds.pop("notes.txt") == "unsupported-format"
    assert set(kinds.values()) == {"bad-archive"}
    assert strict_json(await client.get("/v1/images"))["total"] == 2


async def test_a_zip_file_stands_in_its_place_among_other_files(client: httpx.AsyncClient) -> None:
    """Items come in the order sent; sent again, all are there already."""
    archive = zipped(("b.png", picture_bytes(seed=1)), ("c.png", picture_bytes(seed=2)))
    files = (("a.png", picture_bytes()), ("z.zip", archive), ("d.png", picture_bytes(seed=3)))
    items = await batch(client, *files)
    assert [item["filename"] for item in items] == ["a.png", "b.png", "c.png", "d.png"]
    assert {item["status"] for item in await batch(client, *files)} == {"exists"}


async def test_what_only_begins_as_a_zip_file_is_one_refused_item(
    client: httpx.AsyncClient,
) -> None:
    """Beside a good picture that is taken."""
    items = await batch(client, ("bad.zip", b"PK\x03\x04 nothing"), ("a.png", picture_bytes()))
    assert [(item["filename"], item["status"]) for item in items] == [
        ("bad.zip", "rejected"),
        ("a.png", "created"),
    ]
    assert items[0]["problem"]["type"].endswith("bad-archive")
