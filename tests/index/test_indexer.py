"""Images in and out: one image for the same bytes, all or nothing, files that match the rows."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.services import Services
from index import (
    DatabaseUnavailable,
    EmbeddingRejected,
    NotFound,
    Query,
    StorageError,
    TextPart,
    TextRejected,
    Words,
)
from model import DamagedImage
from tests.index.uploading import GREEN, RED, add, an_upload, names_of
from tests.pictures import picture_bytes


def stored_files(services: Services) -> set[str]:
    """Names of the kept files."""
    blobs = services.blobs.directory / "blobs"
    return {path.name for path in blobs.rglob("*") if path.is_file()}


def incoming_files(services: Services) -> list[Path]:
    """What has not been moved or removed."""
    return list((services.blobs.directory / "incoming").iterdir())


def test_the_same_bytes_are_one_image(services: Services) -> None:
    """The second upload gives the first image, and its file is not kept."""
    first = add(services)
    second = add(services)
    assert (first.is_new, second.is_new) == (True, False)
    assert second.image == first.image
    assert services.library.count() == 1
    assert incoming_files(services) == []


def test_the_same_bytes_sent_at_once_are_one_image(services: Services) -> None:
    """Twenty simultaneous uploads of one file race to one row and lose nothing."""
    with ThreadPoolExecutor(20) as pool:
        added = list(pool.map(lambda _: add(services), range(20)))
    assert len({one.image.id for one in added}) == 1
    assert sum(one.is_new for one in added) == 1
    assert stored_files(services) == {added[0].image.sha256}
    assert incoming_files(services) == []


def test_uploads_that_arrive_together_share_a_forward_pass(services: Services) -> None:
    """The model sees batches, not single pictures, when many upload at once."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda seed: add(services, seed=seed), range(48)))
    encoder = services.live.generation.queue.encoder
    assert sum(encoder.batch_sizes) == 48
    assert max(encoder.batch_sizes) > 1
    assert services.library.count() == len(services.live.generation.vectors) == 48


def test_an_image_in_two_collections_keeps_its_file_until_both_are_gone(
    services: Services,
) -> None:
    """Two collections share the bytes; deleting one image leaves the other whole."""
    one = add(services).image
    content = picture_bytes(RED)
    other = services.indexer.add(replace(an_upload(services, content), collection="other")).image
    assert other.id != one.id
    services.indexer.delete(one.id)
    assert services.library.file(other).read_bytes() == content
    services.indexer.delete(other.id)
    assert stored_files(services) == set()
    assert list((services.blobs.directory / "thumbnails").rglob("*.320")) == []


def test_a_deleted_image_is_gone_everywhere(services: Services) -> None:
    """From the moment the call returns it is not found, not listed, not readable."""
    image = add(services).image
    services.indexer.delete(image.id)
    assert services.searcher.search(Query([TextPart("red")])).hits == []
    with pytest.raises(NotFound):
        services.library.get(image.id)
    with pytest.raises(NotFound):
        services.indexer.delete(image.id)


def test_deleting_beside_uploads_of_the_same_bytes_never_loses_a_file(
    services: Services,
) -> None:
    """Whatever order the two come in, an image that exists has its file."""
    content = picture_bytes(GREEN)
    stop = threading.Event()

    def delete_all() -> None:
        while not stop.is_set():
            for image in services.library.page(limit=10, cursor=None, where=None).images:
                try:
                    services.indexer.delete(image.id)
                except NotFound:
                    continue

    with ThreadPoolExecutor(3) as pool:
        deleting = [pool.submit(delete_all) for _ in range(2)]
        for _ in range(25):
            services.indexer.add(an_upload(services, content))
        stop.set()
        for future in deleting:
            future.result()
    added = services.indexer.add(an_upload(services, content))
    assert services.library.file(added.image).read_bytes() == content


def test_a_refused_file_leaves_nothing(services: Services) -> None:
    """A broken picture is refused; no row, no file, nothing on its way."""
    with pytest.raises(DamagedImage):
        services.indexer.add(an_upload(services, picture_bytes()[:-30]))
    with pytest.raises(TextRejected) as caught:
        add(services, caption="a\0b")
    assert caught.value.pointer == "/caption"
    assert services.library.count() == 0
    assert stored_files(services) == set()
    assert incoming_files(services) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_an_embedding_that_means_nothing_is_refused(
    services: Services, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a non-finite vector nor one of no length is stored; other images are not touched."""
    add(services, GREEN)
    queue = services.live.generation.queue
    real = queue.encoder.embed_pixels

    def broken(pixels: list[np.ndarray]) -> np.ndarray:
        return np.full_like(real(pixels), value)

    monkeypatch.setattr(queue.encoder, "embed_pixels", broken)
    with pytest.raises(EmbeddingRejected):
        add(services, RED)
    monkeypatch.undo()
    assert services.library.count() == 1
    assert add(services, RED).is_new
    assert names_of(services.searcher.search(Query([TextPart("red")])))[0] == f"{RED}-0.png"


def test_a_storage_failure_refuses_the_upload_and_the_next_one_works(services: Services) -> None:
    """No row is written for bytes that could not be kept; the retry succeeds."""
    upload = an_upload(services, picture_bytes())
    in_the_way = services.blobs.directory / "blobs" / upload.sha256[:2]
    in_the_way.write_text("a file where a folder belongs")
    with pytest.raises(StorageError):
        services.indexer.add(upload)
    assert services.library.count() == 0
    in_the_way.unlink()
    assert add(services).is_new


def test_a_missing_file_comes_back_with_the_same_upload(services: Services) -> None:
    """Somebody deleted a file by hand: sending the picture again heals the image."""
    image = add(services).image
    services.library.file(image).unlink()
    again = add(services)
    assert not again.is_new
    assert services.library.file(image).is_file()


def test_words_are_changed_in_one_transaction(services: Services) -> None:
    """Tags keep their order without repeats; two changes at once both count."""
    image = add(services, tags=("b", "a", "b")).image
    assert image.tags == ("b", "a")

    def add_tag(tag: str) -> None:
        services.indexer.update(
            image.id, lambda now: Words((*now.tags, tag), now.caption, now.metadata)
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_tag, ["c", "d", "e", "f"]))
    assert set(services.library.get(image.id).tags) == {"a", "b", "c", "d", "e", "f"}


def test_an_old_stray_file_is_swept_and_a_young_one_is_not(services: Services) -> None:
    """What a crash left goes after an hour; an upload under way is never swept."""
    import os
    import time

    image = add(services).image
    old, young = (services.blobs.path(letter * 64) for letter in "ab")
    for path in (old, young):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"stray")
    leftover = services.blobs.incoming()
    leftover.write_bytes(b"half an upload")
    long_ago = time.time() - 7_200
    for path in (old, leftover, services.library.file(image)):
        os.utime(path, (long_ago, long_ago))
    assert services.library.sweep() == 2
    assert not old.exists()
    assert not leftover.exists()
    assert young.exists()
    assert services.library.file(image).is_file()


def test_a_database_that_is_gone_refuses_clearly(services: Services) -> None:
    """The upload is refused as unavailable and nothing is left half done."""
    if not services.database.is_sqlite:
        pytest.skip("stopping the shared PostgreSQL would stop the other tests")
    with services.database.engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE embeddings")
        connection.commit()
    with pytest.raises(DatabaseUnavailable):
        add(services)
    assert incoming_files(services) == []
