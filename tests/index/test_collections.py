"""Collections beside uploads and deletions that are under way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.services import Services
from index import (
    Added,
    CollectionClosed,
    CollectionNotEmpty,
    CollectionSettings,
    NotFound,
    Query,
    TextPart,
)
from index.indexer import Indexer
from tests.index.uploading import an_upload
from tests.pictures import picture_bytes


def add_to(services: Services, collection: str, seed: int) -> Added:
    """A nearly plain picture of its own, stored in this collection."""
    upload = an_upload(services, picture_bytes(seed=seed))
    return services.indexer.add(replace(upload, collection=collection))


def test_only_images_that_were_there_go_with_their_collection(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes while the others are deleted stays, and keeps the collection."""
    for seed in range(5):
        add_to(services, "a", seed)
    services.collections.put("a", CollectionSettings(description="kept with it"))
    monkeypatch.setattr("index.collections.IMAGES_PER_DELETION", 2)
    delete_many = Indexer.delete_many
    late: list[Added] = []

    def with_a_late_one(self: Indexer, *arguments: object, **options: object) -> int:
        if not late:
            late.append(add_to(services, "a", 9))
        return delete_many(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Indexer, "delete_many", with_a_late_one)
    with pytest.raises(CollectionNotEmpty) as refused:
        services.collections.delete("a", with_images=True)
    assert refused.value.images == 1
    assert services.library.count() == 1
    assert services.library.get(late[0].image.id).collection == "a"
    assert services.collections.get("a").settings.description == "kept with it"
    hits = services.searcher.search(Query([TextPart("red")])).hits
    assert [hit.image.id for hit in hits] == [late[0].image.id]


def test_no_image_arrives_after_a_collection_was_closed(services: Services) -> None:
    """However many uploads are in hand: once the change is answered, the count stands still."""
    services.collections.put("a", CollectionSettings())
    started = threading.Barrier(9)

    def send(thread: int) -> tuple[int, int]:
        added = refused = 0
        started.wait()
        for seed in range(6):
            try:
                add_to(services, "a", 100 * thread + seed)
                added += 1
            except CollectionClosed:
                refused += 1
        return added, refused

    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, thread) for thread in range(8)]
        started.wait()
        while services.collections.get("a").images < 8:
            threading.Event().wait(0.005)
        services.collections.change("a", lambda old: replace(old, accepts_uploads=False))
        at_the_answer = services.collections.get("a").images
        outcomes = [one.result() for one in sent]
    assert sum(added for added, _ in outcomes) == at_the_answer
    assert services.collections.get("a").images == at_the_answer
    assert services.library.count() == at_the_answer
    assert sum(added + refused for added, refused in outcomes) == 48


def test_renames_uploads_and_deletions_side_by_side_lose_nothing(services: Services) -> None:
    """Every image that was added and not deleted is in a collection that is there, and found."""
    names = ["a", "b"]
    kept: set[str] = set()
    lock = threading.Lock()

    def add_and_delete(thread: int) -> None:
        for seed in range(8):
            one = add_to(services, names[0], 100 * thread + seed)
            if seed % 2:
                services.indexer.delete(one.image.id)
            else:
                with lock:
                    kept.add(one.image.id)

    def rename() -> None:
        for turn in range(12):
            try:
                services.collections.change(
                    names[0], lambda settings: settings, new_name=f"renamed-{turn}"
                )
            except NotFound:
                threading.Event().wait(0.005)

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(add_and_delete, thread) for thread in range(3)]
        work.append(pool.submit(rename))
        for one in work:
            one.result()
    page = services.collections.page(limit=100)
    assert sum(one.images for one in page.collections) == len(kept) == services.library.count()
    hits = services.searcher.search(Query([TextPart("red")], limit=100)).hits
    assert {hit.image.id for hit in hits} == kept
    assert {hit.image.collection for hit in hits} <= {one.name for one in page.collections}


def test_an_interrupted_deletion_goes_on(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deleted stays so, the rest is whole, and the same call ends it."""
    for seed in range(5):
        add_to(services, "a", seed)
    monkeypatch.setattr("index.collections.IMAGES_PER_DELETION", 2)
    delete_many = Indexer.delete_many
    calls: list[int] = []

    def dies_at_the_second(self: Indexer, *arguments: object, **options: object) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return delete_many(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Indexer, "delete_many", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        services.collections.delete("a", with_images=True)
    assert services.collections.get("a").images == services.library.count() == 3
    assert services.collections.delete("a", with_images=True) == 3
    assert services.library.count() == 0
    assert services.collections.page(limit=1).total == 0
    assert services.verifier.run() == []
