"""What storage and model refuse: a clear problem, nothing half stored, and a retry that works."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.services import Services
from app.settings import Settings
from index import sqlite_url
from tests.app.asking import (
    ON_SQLITE,
    assert_problem,
    assert_problem_document,
    strict_json,
    upload,
)
from tests.pictures import picture_bytes

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@contextmanager
def replaced_by_a_file(folder: Path) -> Iterator[None]:
    """A file in a folder's place: permission bits would not stop the superuser."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.write_bytes(b"")
    yield
    folder.unlink()
    aside.rename(folder)


def files_in(settings: Settings) -> set[str]:
    """Every image file, thumbnail and unfinished upload, as a path below the data folder."""
    folders = [settings.data_dir / name for name in ("blobs", "thumbnails", "incoming")]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(settings.data_dir)) for path in found}


@pytest.mark.parametrize("folder", ["blobs", "thumbnails", "incoming"])
async def test_storage_that_takes_nothing_refuses_and_a_retry_works(
    client: httpx.AsyncClient, settings: Settings, folder: str
) -> None:
    """No row is written for bytes that could not be kept, and nothing is left behind."""
    kept = await upload(client)
    before = files_in(settings)
    data = picture_bytes((0, 0, 255))
    with replaced_by_a_file(settings.data_dir / folder):
        answer = await client.post("/v1/images", files={"file": ("b.png", data)})
        problem = assert_problem(answer, 503, "storage-unavailable")
        assert str(settings.data_dir) not in str(problem)
        assert strict_json(await client.get("/v1/images"))["total"] == 1
        found = strict_json(await client.get("/v1/search", params={"text": "blue"}))
        assert [hit["image"]["id"] for hit in found["hits"]] == [kept["id"]]
    if folder != "blobs":
        assert files_in(settings) == before
    assert (await upload(client, data))["created"] is True
    assert strict_json(await client.get("/v1/images"))["total"] == 2
    assert len(files_in(settings)) == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes, where this process may make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can't be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take every byte that the file system has left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4_096)):
            pass


async def test_a_full_disk_is_said_to_be_full(
    small_disk: Path, tmp_path: Path, load_colours: Any, database_url: str
) -> None:
    """507 until there is room again; what was acknowledged is still there."""
    settings = Settings(
        data_dir=small_disk / "data",
        database_url=sqlite_url(tmp_path / "elsewhere.db"),
        model="colour",
        threads=1,
    )
    app = create_app(settings, load=load_colours)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            kept = await upload(client)
            large = picture_bytes(size=(1_000, 900), format="BMP")
            answer = await client.post("/v1/images", files={"file": ("l.bmp", large)})
            assert_problem(answer, 507, "storage-full")
            assert list((settings.data_dir / "incoming").iterdir()) == []
            filler = small_disk / "filler"
            fill(filler)
            answer = await client.post(
                "/v1/images", files={"file": ("s.png", picture_bytes(seed=1))}
            )
            assert_problem(answer, 507, "storage-full")
            assert strict_json(await client.get("/v1/images"))["total"] == 1
            assert (await client.get(kept["urls"]["file"])).status_code == 200
            filler.unlink()
            assert (await upload(client, picture_bytes(seed=1)))["created"] is True


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 7.0])
async def test_an_embedding_that_means_nothing_refuses_its_picture_alone(
    app: FastAPI, client: httpx.AsyncClient, settings: Settings, value: float
) -> None:
    """Of a batch that shares a forward pass, only the picture it went wrong for is refused."""
    services: Services = app.state.for_tests["services"]
    encoder = services.live.generation.queue.encoder
    embed = encoder.embed_pixels

    def sometimes_wrong(pixels: Any) -> Any:
        vectors = embed(pixels).copy()
        for vector, one in zip(vectors, pixels, strict=True):
            if one.reshape(-1, 3).mean(axis=0)[2] > 200:
                vector[:] = value
        return vectors

    encoder.embed_pixels = sometimes_wrong  # type: ignore[method-assign]
    colours = [(255, 0, 0), (0, 0, 255), (0, 255, 0)]
    files = [("files", (f"{n}.png", picture_bytes(colour))) for n, colour in enumerate(colours)]
    items = strict_json(await client.post("/v1/images/batch", files=files))["items"]
    assert [item["status"] for item in items] == ["created", "rejected", "created"]
    assert_problem_document(items[1]["problem"])
    assert items[1]["problem"]["type"].endswith(":embedding-rejected")
    # Two files with two thumbnails: nothing is left of the third, neither here nor there.
    assert len(files_in(settings)) == 4
    found = strict_json(await client.get("/v1/search", params={"text": "blue"}))
    assert {hit["image"]["filename"] for hit in found["hits"]} == {"0.png", "2.png"}


async def test_refused_uploads_leave_the_disk_as_it_was(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """A hundred refusals of every kind leave what the stored images need, and no more."""
    await upload(client)
    before = files_in(settings)
    whole = picture_bytes(seed=1)
    refused = [b"", b"text", whole[:300], b"\x89PNG" + bytes(settings.max_bytes), b"GIF89a"]
    for number in range(100):
        data = refused[number % len(refused)]
        answer = await client.post("/v1/images", files={"file": ("x.png", data)})
        assert 400 <= answer.status_code < 500
    assert files_in(settings) == before
