"""A database that goes away and comes back, a full disk under it, a clock that is set back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import create_engine, make_url, text

from app.errors import DataFolderUnusable
from app.services import open_services
from app.settings import Settings
from index import Query, StorageFull, TextPart
from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.index.uploading import BLUE, RED, add, names_of
from tests.pictures import picture_bytes

ON_POSTGRESQL = pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@contextmanager
def unreachable(database_url: str, postgres_url: str) -> Iterator[None]:
    """Every connection to the database is cut, and none is let in."""
    name = make_url(database_url).database
    server = make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
        yield
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    engine.dispose()


@ON_POSTGRESQL
@pytest.mark.anyio
async def test_a_database_that_was_away_is_used_again(
    app: FastAPI, client: httpx.AsyncClient, database_url: str, postgres_url: str
) -> None:
    """Meanwhile every call is refused for later, and nothing acknowledged is lost or half done."""
    kept = await upload(client)
    services = app.state.for_tests["services"]
    data = picture_bytes(BLUE)
    with unreachable(database_url, postgres_url):
        for answer in (
            await client.post("/v1/images", files={"file": ("b.png", data)}),
            await client.delete(f"/v1/images/{kept['id']}"),
            await client.patch(f"/v1/images/{kept['id']}", json={"caption": "x"}),
            await client.get("/v1/images"),
        ):
            assert_problem(answer, 503, "database-unavailable")
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "127.0.0.1" not in ready.text
        assert (await client.get("/livez")).status_code == 200
    read = strict_json(await client.get(f"/v1/images/{kept['id']}"))
    assert read["caption"] is None
    assert (await upload(client, data))["created"] is True
    found = strict_json(await client.get("/v1/search", params={"text": "blue"}))
    assert len(found["hits"]) == 2
    assert (await client.get("/readyz")).status_code == 200
    assert services.verifier.run() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes, where this process may make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can't be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_database_on_a_full_disk_loses_nothing(small_disk: Path, load_colours: Any) -> None:
    """Uploads are refused until there is room; what was acknowledged is there after a restart."""
    settings = Settings(data_dir=small_disk / "data", model="colour", threads=1)
    kept: list[str] = []
    with open_services(settings, load=load_colours) as services:
        kept.append(add(services, RED).image.id)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            file.write(bytes(max(0, free - 40_000)))
        with pytest.raises(StorageFull):  # noqa: PT012  (which is the first one too many, the disk says)
            for seed in range(1, 200):
                kept.append(add(services, RED, seed=seed).image.id)  # noqa: PERF401
        filler.unlink()
        kept.append(add(services, BLUE).image.id)
    with open_services(settings, load=load_colours) as services:
        page = services.library.page(limit=1_000, cursor=None, where=None)
        assert [image.id for image in page.images] == kept[::-1]
        hits = services.searcher.search(Query([TextPart("red")], limit=1_000)).hits
        assert {hit.image.id for hit in hits} == set(kept)
        assert services.verifier.run() == []


class SetBack(datetime):
    """A clock that was set back by twenty years."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """The moment it shows."""
        return cls(2004, 2, 29, tzinfo=tz or UTC)


def test_a_clock_that_is_set_back_changes_no_order(
    settings: Settings, load_colours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order, changes and the sweep go by numbers, so nothing is missed, hidden or removed."""
    with open_services(settings, load=load_colours) as services:
        first = add(services, RED).image
        services.live.save()
        for module in ("images", "changes", "model_versions"):
            monkeypatch.setattr(f"index.store.{module}.datetime", SetBack)
        monkeypatch.setattr("index.blobs.time.time", lambda: SetBack.now().timestamp())
        second = add(services, BLUE).image
        assert second.created_at.year == 2004
        services.indexer.delete(first.id)
        third = add(services, RED, seed=3).image
        assert services.library.sweep() == 0
        version = services.versions.to_build(None, "colour-1")
        services.reindexer.run(version.id, lambda *_: False)
    with open_services(settings, load=load_colours) as services:
        page = services.library.page(limit=9, cursor=None, where=None)
        assert [image.id for image in page.images] == [third.id, second.id]
        result = services.searcher.search(Query([TextPart("red")]))
        assert names_of(result) == [third.filename, second.filename]
        assert result.model_version == version.id
        assert services.verifier.run() == []


@ON_SQLITE
def test_a_data_folder_that_cant_be_used_names_the_command_that_mends_it(
    settings: Settings, load_colours: Any
) -> None:
    """Whose it is, who this is, and what to type."""
    settings.data_dir.mkdir()
    (settings.data_dir / "blobs").write_text("in the way")
    with pytest.raises(DataFolderUnusable) as refused, open_services(settings, load=load_colours):
        pass
    message = str(refused.value)
    assert f"belongs to user {settings.data_dir.stat().st_uid}" in message
    assert f"this is user {os.getuid()}" in message
    assert f"sudo chown -R {os.getuid()} {settings.data_dir}" in message
