"""Embedding everything again: resumable, complete, and a switch that no query notices."""

from __future__ import annotations

import threading

import pytest

from app.services import Services
from index import Cancelled, Query, TextPart
from tests.index.uploading import BLUE, GREEN, RED, add, names_of


def test_a_reindex_switches_to_another_model_with_every_image(services: Services) -> None:
    """Every image is found by the new version, and the answer names it."""
    for colour in (RED, GREEN, BLUE):
        add(services, colour)
    version = services.versions.to_build(None, "colour-1")
    done = services.reindexer.run(version.id, lambda *_: False)
    services.live.catch_up()
    assert (done.embedded, done.copied, done.failures) == (3, 0, ())
    result = services.searcher.search(Query([TextPart("blue")]))
    assert result.model_version == version.id
    assert names_of(result)[0] == f"{BLUE}-0.png"
    assert len(result.hits) == 3


def test_images_that_come_during_a_reindex_are_in_both_versions(services: Services) -> None:
    """An upload while a version is built is embedded for both and missed by neither."""
    for seed in range(3):
        add(services, RED, seed=seed)
    version = services.versions.to_build(None, "colour-1")
    add(services, GREEN)
    assert names_of(services.searcher.search(Query([TextPart("green")])))[0] == f"{GREEN}-0.png"
    done = services.reindexer.run(version.id, lambda *_: False)
    services.live.catch_up()
    assert done.embedded == 3
    assert len(services.searcher.search(Query([TextPart("green")])).hits) == 4


def test_queries_and_uploads_during_a_reindex_are_never_partial(services: Services) -> None:
    """While versions come and go, each answer has every image that was there when it was asked."""
    acknowledged = [add(services, RED, seed=seed).image.id for seed in range(40)]
    stop = threading.Event()
    problems: list[str] = []
    versions: set[str] = set()

    def search() -> None:
        while not stop.is_set():
            at_least = len(acknowledged)
            result = services.searcher.search(Query([TextPart("red")], limit=1_000))
            versions.add(result.model_version)
            if len(result.hits) < at_least:
                problems.append(f"{len(result.hits)} of {at_least}")

    searching = [threading.Thread(target=search) for _ in range(3)]
    for thread in searching:
        thread.start()
    for round_number in range(3):
        version = services.versions.to_build(None, f"colour-{round_number % 2 + 1}")
        uploading = threading.Thread(
            target=lambda first=100 * (round_number + 1): [
                acknowledged.append(add(services, RED, seed=first + i).image.id) for i in range(5)
            ]
        )
        uploading.start()
        services.reindexer.run(version.id, lambda *_: False)
        uploading.join()
        services.live.catch_up()
    stop.set()
    for thread in searching:
        thread.join()
    assert problems == []
    assert len(versions) >= 2
    assert len(services.searcher.search(Query([TextPart("red")], limit=1_000)).hits) == 55


def test_an_image_whose_file_is_gone_fails_alone(services: Services) -> None:
    """With other weights it is named and left out; the others are embedded and promoted."""
    lost = add(services, RED).image
    damaged = add(services, GREEN).image
    add(services, BLUE)
    services.library.file(lost).unlink()
    services.library.file(damaged).write_bytes(b"no picture any more")
    version = services.versions.to_build(None, "colour-1")
    done = services.reindexer.run(version.id, lambda *_: False)
    assert done.embedded == 1
    assert {failure.image_id for failure in done.failures} == {lost.id, damaged.id}
    assert all(failure.reason for failure in done.failures)
    services.live.catch_up()
    assert names_of(services.searcher.search(Query([TextPart("blue")]))) == [f"{BLUE}-0.png"]


def test_the_same_weights_keep_the_embedding_of_a_lost_file(services: Services) -> None:
    """Nothing that could be found before is lost by embedding again with the same model."""
    lost = add(services, RED).image
    add(services, GREEN)
    services.library.file(lost).unlink()
    version = services.versions.to_build(None, "colour")
    done = services.reindexer.run(version.id, lambda *_: False)
    services.live.catch_up()
    assert (done.embedded, done.copied, len(done.failures)) == (1, 1, 1)
    assert len(services.searcher.search(Query([TextPart("red")])).hits) == 2


def test_a_stopped_reindex_goes_on_where_it_was(services: Services) -> None:
    """Cancelled in the middle, the version is not live; run again it embeds only the rest."""
    for seed in range(70):
        add(services, RED, seed=seed)
    live = services.live.generation.version.id
    version = services.versions.to_build(None, "colour-1")
    with pytest.raises(Cancelled):
        services.reindexer.run(version.id, lambda done, _: done > 0)
    services.live.catch_up()
    assert services.live.generation.version.id == live
    done = services.reindexer.run(version.id, lambda *_: False)
    assert done.embedded == 70 - 64


def test_replaced_versions_free_their_embeddings(services: Services) -> None:
    """After three reindexes only the live version and the one before it are left of them."""
    add(services, RED)
    made = []
    for seed in (1, 2, 1):
        version = services.versions.to_build(None, f"colour-{seed}")
        services.reindexer.run(version.id, lambda *_: False)
        services.versions.discard_superseded()
        made.append(version.id)
    left = {version.id: version.state for version in services.versions.all()}
    assert made[0] not in left
    assert left[made[1]] == "retired"
    assert left[made[2]] == "live"
