"""Image files on a server that speaks S3, through uploads, searches, deletions and failures."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from fastapi import FastAPI
from obstore.store import S3Store

from app.backups import make_backup, restore_backup
from app.services import Services, open_services
from app.settings import Settings
from index import ImageName, Query, StorageError, TableLine, TextPart, check_blobs_url
from index.store import changes
from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.index.uploading import BLUE, GREEN, RED, add, an_upload, names_of
from tests.pictures import picture_bytes

pytestmark = ON_SQLITE
SECONDS = 120


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server with a bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            request = urllib.request.Request(f"{url}/photos", method="PUT")
            with urllib.request.urlopen(request, timeout=5):
                break
        except OSError:
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait()


@pytest.fixture
def bucket(
    s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> S3Store:
    """A store of its own below the bucket, for looking behind the service's back."""
    for name, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "REGION": "us-east-1",
        "ENDPOINT_URL": s3_server,
        "ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return S3Store.from_url(f"s3://photos/{abs(hash(request.node.name))}")


@pytest.fixture
def settings(tmp_path: Path, database_url: str, bucket: S3Store) -> Settings:
    """Settings whose image files are in the bucket."""
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,  # type: ignore[arg-type]
        blobs=f"s3://photos/{bucket.prefix}",
        model="colour",
        threads=1,
    )


def objects(bucket: S3Store) -> set[str]:
    """The names of everything in the bucket."""
    return {one["path"] for page in obstore.list(bucket) for one in page}


def key(sha256: str) -> str:
    """Where an image's object lies."""
    return f"blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def test_images_live_in_the_bucket_and_nowhere_else(
    services: Services, settings: Settings, bucket: S3Store, load_colours: Any
) -> None:
    """Stored before they are acknowledged, found after a restart, gone when they are deleted."""
    image = add(services, RED).image
    assert objects(bucket) == {key(image.sha256)}
    assert bytes(obstore.get(bucket, key(image.sha256)).bytes()) == picture_bytes(RED)
    assert not add(services, RED).is_new
    other = add(services, GREEN).image
    version = services.versions.to_build(None, "colour-1")
    assert services.reindexer.run(version.id, lambda *_: False).embedded == 2
    services.live.catch_up()
    assert services.verifier.run() == []
    services.indexer.delete(other.id)
    assert objects(bucket) == {key(image.sha256)}
    with open_services(settings, load=load_colours) as again:
        assert names_of(again.searcher.search(Query([TextPart("red")]))) == [image.filename]
        assert again.library.file(image).read_bytes() == picture_bytes(RED)
    local = [path for path in (settings.data_dir / "blobs").rglob("*") if path.is_file()]
    assert local + list((settings.data_dir / "incoming").iterdir()) == []


@pytest.mark.anyio
async def test_a_file_streams_out_in_ranges(client: httpx.AsyncClient) -> None:
    """Whole, in part, not again, and not beyond its end: as a file on the disk does."""
    data = picture_bytes(size=(400, 300))
    path = (await upload(client, data))["urls"]["file"]
    whole = await client.get(path)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["content-length"] == str(len(data))
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["content-disposition"].startswith("inline")
    size = len(data)
    for asked, start, end in [("0-9", 0, 10), ("10-", 10, size), ("-7", size - 7, size)]:
        part = await client.get(path, headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, data[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    stale = await client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, data)
    assert (await client.get(path, headers={"Range": f"bytes={size}-"})).status_code == 416
    etag = whole.headers["etag"]
    assert (await client.get(path, headers={"If-None-Match": etag})).status_code == 304
    head = await client.head(path)
    assert (head.status_code, head.headers["content-length"]) == (200, str(size))
    thumbnail = path.replace("/file", "/thumbnail?size=160")
    assert (await client.get(thumbnail)).headers["content-type"] == "image/webp"


@pytest.mark.anyio
async def test_a_bucket_that_does_not_answer_refuses_and_loses_nothing(
    app: FastAPI, client: httpx.AsyncClient, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row without its object; readiness tells; a lost object is said to be missing."""
    services: Services = app.state.for_tests["services"]
    kept = await upload(client)
    nowhere = S3Store.from_url(
        "s3://photos/nowhere",
        endpoint="http://127.0.0.1:1",
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
    )
    monkeypatch.setattr(services.blobs, "_store", nowhere)
    data = picture_bytes(BLUE)
    answer = await client.post("/v1/images", files={"file": ("b.png", data)})
    problem = assert_problem(answer, 503, "storage-unavailable")
    assert "127.0.0.1" not in str(problem)
    ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert "127.0.0.1" not in ready.text
    assert_problem(await client.get(kept["urls"]["file"]), 503, "storage-unavailable")
    assert strict_json(await client.get("/v1/images"))["total"] == 1
    monkeypatch.undo()
    assert (await upload(client, data))["created"] is True
    obstore.delete(bucket, key(kept["sha256"]))
    assert_problem(await client.get(kept["urls"]["file"]), 410, "file-missing")
    healed = await upload(client)
    assert (healed["id"], healed["created"]) == (kept["id"], False)
    assert (await client.get(kept["urls"]["file"])).status_code == 200


def test_an_object_deleted_under_an_upload_is_stored_again(
    services: Services, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the sending and the commit someone may delete the last image of the same bytes."""
    prepare = services.blobs.prepare

    def then_deleted(source: Path, sha256: str) -> None:
        prepare(source, sha256)
        monkeypatch.undo()
        obstore.delete(bucket, key(sha256))

    monkeypatch.setattr(services.blobs, "prepare", then_deleted)
    image = services.indexer.add(an_upload(services, picture_bytes(RED))).image
    assert objects(bucket) == {key(image.sha256)}


def test_uploads_wait_for_the_bucket_without_the_logs_lock(
    services: Services, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow bucket makes one upload slow, and keeps no other process from writing."""
    asked: list[str] = []

    def unlocked(name: str) -> None:
        call = getattr(obstore, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            # It would wait for the lock until it fails.
            with services.database.writing() as session:
                changes.take_lock(session)
            asked.append(name)
            return call(*arguments, **options)

        monkeypatch.setattr(f"index.s3_blobs.obstore.{name}", wrapped)

    unlocked("head")
    unlocked("put")
    image = add(services, RED).image
    assert set(asked) == {"head", "put"}
    monkeypatch.undo()
    assert objects(bucket) == {key(image.sha256)}


def test_a_backup_can_be_restored_into_a_bucket(
    tmp_path: Path, bucket: S3Store, settings: Settings, second_database_url: str, load_colours: Any
) -> None:
    """Every file is an object afterwards, and nothing is left on the way."""
    folder = Settings(
        data_dir=tmp_path / "folder",
        database_url=second_database_url,  # type: ignore[arg-type]
        model="colour",
    )
    with open_services(folder, load=load_colours) as services:
        image = add(services, RED).image
    make_backup(folder, tmp_path / "backup")
    assert restore_backup(settings, tmp_path / "backup", load=load_colours).images == 1
    assert objects(bucket) == {key(image.sha256)}
    assert list((settings.data_dir / "incoming").iterdir()) == []


def test_strays_and_damaged_objects_are_found(
    services: Services, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object of no image goes once it is old; other bytes are set aside for a new upload."""
    image = add(services, RED).image
    stray = "ab" * 32
    for sha256 in (stray, image.sha256):
        obstore.put(bucket, key(sha256), b"something else")
    assert [one.kind for one in services.verifier.run()] == ["file damaged"]

    class Later(datetime):
        """A clock two hours ahead."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            """The moment it shows."""
            return datetime.now(tz) + timedelta(hours=2)

    monkeypatch.setattr("index.s3_blobs.datetime", Later)
    kinds = {one.kind: one for one in services.verifier.run()}
    assert set(kinds) == {"file damaged", "file of no image"}
    repairs = services.repairer.run(kinds.values())
    assert [one.is_done for one in repairs] == [False, True]
    assert objects(bucket) == {f"damaged/{image.sha256}"}
    add(services, RED)
    assert services.verifier.run() == []
    assert datetime.now(UTC) > image.created_at


def test_a_backup_of_a_bucket_can_be_restored_into_a_folder(
    services: Services,
    settings: Settings,
    second_database_url: str,
    load_colours: Any,
    tmp_path: Path,
) -> None:
    """Where the files lie is no part of a backup."""
    image = add(services, RED).image
    assert make_backup(settings, tmp_path / "backup").files_copied == 1
    elsewhere = Settings(
        data_dir=tmp_path / "elsewhere",
        database_url=second_database_url,  # type: ignore[arg-type]
        model="colour",
    )
    assert restore_backup(elsewhere, tmp_path / "backup", load=load_colours).images == 1
    with open_services(elsewhere, load=load_colours) as again:
        assert again.library.file(image).read_bytes() == picture_bytes(RED)


def test_a_bucket_that_is_not_there_stops_the_start(
    settings: Settings, bucket: S3Store, load_colours: Any
) -> None:
    """Whoever mistypes the bucket hears of it before the first upload."""
    absent = settings.model_copy(update={"blobs": "s3://no-such-bucket"})
    with (
        pytest.raises(StorageError, match="no such bucket"),
        open_services(absent, load=load_colours),
    ):
        pass


@pytest.mark.parametrize("url", ["photos", "s3://", "https://x/y", "s3://b?x=1", "file:///tmp"])
def test_an_address_that_is_none_is_refused(database_url: str, url: str) -> None:
    """The setting says what it takes."""
    with pytest.raises(ValueError, match="s3://bucket"):
        check_blobs_url(url)


def test_training_reads_pairs_whose_pictures_are_in_the_bucket(
    services: Services, bucket: S3Store
) -> None:
    """They are copied to the disk; the check asks the bucket, and names what is gone from it."""
    kept, gone = add(services, RED).image, add(services, GREEN).image
    services.pair_importer.run(
        TableLine(number, (ImageName("id", image.id),), (f"text {number}",))
        for number, image in enumerate((kept, gone))
    )
    obstore.delete(bucket, key(gone.sha256))
    found = services.pairs.check().findings
    missing = [finding for finding in found if finding.code == "images_missing"]
    assert [[example.image_id for example in one.examples] for one in missing] == [[gone.id]]
    training = services.pairs.training_set()
    paths = {image.image_id: image.path for image in (*training.train, *training.validation)}
    assert paths[kept.id].read_bytes() == picture_bytes(RED)
    assert not paths[gone.id].exists()
