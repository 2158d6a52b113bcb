"""Several workers on one reindex: each image once, whoever dies, and one end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from app.services import Services, open_services
from app.settings import Settings
from index import Cancelled, Query, TextPart
from index.store import reindex_claims
from tests.fakes import ColourEncoder
from tests.index.uploading import BLUE, RED, add, names_of

IMAGES = 200
SECONDS = 120

Load = Callable[[str], ColourEncoder]


class Watched:
    """Counts how often each picture is embedded, by whom."""

    def __init__(self) -> None:
        self.times: Counter[bytes] = Counter()
        self.by: Counter[str] = Counter()
        self._lock = threading.Lock()

    def watch(self, encoder: ColourEncoder, name: str) -> None:
        """Look over this encoder's shoulder."""
        embed = encoder.embed_pixels

        def counted(pixels: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
            with self._lock:
                self.times.update(one.tobytes() for one in pixels)
                self.by[name] += len(pixels)
            return embed(pixels)

        encoder.embed_pixels = counted  # type: ignore[method-assign,assignment]


@contextmanager
def helping(other: Services) -> Iterator[threading.Event]:
    """A worker that helps whenever there is something; the event says that it has."""
    stop, has_helped = threading.Event(), threading.Event()

    def run() -> None:
        while not stop.is_set():
            if other.reindexer.help(stop.is_set):
                has_helped.set()
            stop.wait(0.01)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield has_helped
    finally:
        stop.set()
        thread.join()


def test_two_workers_never_embed_the_same_image_twice(
    services: Services, settings: Settings, load_colours: Load
) -> None:
    """Each takes ranges of its own; together they embed every image, and one of them ends it."""
    for seed in range(IMAGES):
        add(services, RED, seed=seed)
    watched = Watched()
    with open_services(settings, load=load_colours) as other:
        version = services.versions.to_build(None, "colour-1")
        for stack, name in ((services, "first"), (other, "second")):
            encoder = stack.encoders.of(version).encoder
            assert isinstance(encoder, ColourEncoder)
            watched.watch(encoder, name)
        with helping(other) as has_helped:

            def report(done: int, _total: int) -> bool:
                # The first waits once, so that the second is sure to have its part.
                assert done > 64 or not watched.by["first"] or has_helped.wait(SECONDS)
                return False

            done = services.reindexer.run(version.id, report)
    assert done.embedded == IMAGES
    assert set(watched.times.values()) == {1}
    assert len(watched.times) == IMAGES
    assert min(watched.by["first"], watched.by["second"]) >= 8
    services.live.catch_up()
    result = services.searcher.search(Query([TextPart("red")], limit=1_000))
    assert (len(result.hits), result.model_version) == (IMAGES, version.id)
    assert services.verifier.run() == []


def test_the_range_of_a_worker_that_died_is_taken_over(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has been silent for too long; what it writes after that is not taken."""
    for seed in range(5):
        add(services, RED, seed=seed)
    version = services.versions.to_build(None, "colour-1")
    with monkeypatch.context() as patched, services.database.writing() as session:
        reindex_claims.begin(session, version.id, "dead")
        patched.setattr("index.store.reindex_claims.CLAIM_SECONDS", -1.0)
        claim = reindex_claims.take(session, version.id, "dead", passing_by=(), limit=3)
    assert claim is not None
    assert len(claim.images) == 3
    done = services.reindexer.run(version.id, lambda *_: False)
    assert (done.embedded, done.failures) == (5, ())
    with services.database.writing() as session:
        assert not reindex_claims.finish(session, claim, embedded=3, copied=0)


def test_ranges_are_taken_only_of_a_version_whose_run_is_open(services: Services) -> None:
    """That another version is being embedded opens nothing."""
    add(services, RED)
    opened = services.versions.to_build(None, "colour-1")
    other = services.versions.to_build(None, "colour-2")
    with services.database.writing() as session:
        reindex_claims.begin(session, opened.id, "one")
        assert reindex_claims.running(session) == opened.id
        assert reindex_claims.take(session, other.id, "two", passing_by=(), limit=9) is None
        assert reindex_claims.take(session, opened.id, "two", passing_by=(), limit=9) is not None
        reindex_claims.end(session, opened.id, "one")
        assert reindex_claims.running(session) is None


def test_nobody_helps_a_reindex_that_was_stopped(
    services: Services, settings: Settings, load_colours: Load
) -> None:
    """With the one who runs it the work ends for all, and goes on when it is run again."""
    for seed in range(130):
        add(services, RED, seed=seed)
    version = services.versions.to_build(None, "colour-1")
    with pytest.raises(Cancelled):
        services.reindexer.run(version.id, lambda done, _: done > 0)
    with open_services(settings, load=load_colours) as other:
        assert not other.reindexer.help(lambda: False)
    assert services.reindexer.run(version.id, lambda *_: False).embedded == 130 - 64


def test_what_fails_for_one_worker_is_named_once(
    services: Services, settings: Settings, load_colours: Load
) -> None:
    """A file that is gone fails for whoever tries, and is in the answer of the one who ends it."""
    lost = [add(services, RED, seed=seed).image for seed in range(3)]
    kept = add(services, BLUE).image
    for image in lost:
        services.library.file(image).unlink()
    version = services.versions.to_build(None, "colour-1")
    with open_services(settings, load=load_colours) as other, helping(other):
        done = services.reindexer.run(version.id, lambda *_: False)
    assert {failure.image_id for failure in done.failures} == {image.id for image in lost}
    assert done.embedded == 1
    services.live.catch_up()
    assert names_of(services.searcher.search(Query([TextPart("blue")]))) == [kept.filename]
