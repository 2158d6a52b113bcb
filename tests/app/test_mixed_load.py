"""Searches, uploads and deletions that never cease, through every step of a version's life."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from app.jobs import reindex
from app.jobs.worker import Worker
from app.services import Services
from index import Query, SearchResult, TextPart
from model import TextEmbeddings
from tests.fakes import ColourEncoder
from tests.index.uploading import BLUE, GREEN, RED, add

COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}


class Load:
    """Visitors, what they did and what they saw.

    An image in `kept` was acknowledged and is never deleted; `passing` wait to be.
    """

    def __init__(self, services: Services) -> None:
        self.services = services
        self.kept: set[str] = set()
        self.passing: list[str] = []
        self.deleted: set[str] = set()
        self.versions: list[str] = []
        self.answers = 0
        self.problems: list[BaseException] = []
        self.stop = threading.Event()

    def ask(self, colour: str) -> SearchResult:
        """One search, checked: complete, of one version alone, and without what was deleted."""
        kept, deleted = set(self.kept), set(self.deleted)
        result = self.services.searcher.search(Query([TextPart(colour)], limit=1_000))
        found = {hit.image.id for hit in result.hits}
        assert kept <= found, f"{len(kept - found)} images are missing in {result.model_version}"
        assert not deleted & found, f"{len(deleted & found)} deleted images are found"
        # The fake models have the same colours on other axes: the query of one against the images
        # of the other finds the wrong colour.
        best = result.hits[0]
        assert best.image.filename.startswith(str(COLOURS[colour]))
        assert best.score > 0.9
        return result

    def search(self) -> None:
        """Ask again and again."""
        for colour in itertools.cycle(COLOURS):
            version = self.ask(colour).model_version
            self.answers += 1
            if version not in self.versions:
                self.versions.append(version)
            if self.stop.wait(0.01):
                return

    def upload(self) -> None:
        """Add images, every other to be deleted."""
        for number in itertools.count(1_000):
            image_id = add(self.services, GREEN, seed=number).image.id
            if number % 2:
                self.kept.add(image_id)
            else:
                self.passing.append(image_id)
            if self.stop.wait(0.02):
                return

    def delete(self) -> None:
        """Delete what was uploaded to be."""
        while not self.stop.wait(0.02):
            if self.passing:
                image_id = self.passing.pop()
                self.services.indexer.delete(image_id)
                self.deleted.add(image_id)

    def guarded(self, work: Callable[[], None]) -> None:
        """Do it; a failure stops all and is kept for the test."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (it must reach the test)
            self.problems.append(error)
            self.stop.set()

    def wait_for_answers(self) -> None:
        """Let those who search come to see the present state."""
        enough = self.answers + 6
        for _ in range(6_000):
            if self.answers >= enough or self.problems:
                return
            time.sleep(0.01)
        raise AssertionError("nobody was answered")


@contextmanager
def at_work(load: Load) -> Iterator[None]:
    """Two who search, one who uploads and one who deletes, until the block ends."""
    threads = [
        threading.Thread(target=load.guarded, args=[work])
        for work in (load.search, load.search, load.upload, load.delete)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()
    assert load.problems == []


def test_no_step_of_a_versions_life_is_noticed_by_who_searches(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reindex, promote and roll back under load: no query fails, mixes versions or misses one."""
    embed = ColourEncoder.embed_texts

    def as_slow_as_a_model(encoder: ColourEncoder, texts: Sequence[str]) -> TextEmbeddings:
        # So that a switch falls between the embedding of a query and its search.
        time.sleep(0.03)
        return embed(encoder, texts)

    monkeypatch.setattr(ColourEncoder, "embed_texts", as_slow_as_a_model)
    load = Load(services)
    for colour, seed in itertools.product(COLOURS.values(), range(8)):
        load.kept.add(add(services, colour, seed=seed).image.id)
    first = services.live.generation.version.id
    worker = Worker(services)
    with at_work(load):
        switched = services.versions.register("colour-1", origin="registered").id
        job = reindex.enqueue(services, switched)
        assert worker.run_once()
        assert services.jobs.get(job.id).state == "succeeded"
        services.live.catch_up()
        assert services.live.generation.version.id == switched
        load.wait_for_answers()
        assert services.versions.roll_back().id == first
        services.live.catch_up()
        load.wait_for_answers()
        built = services.versions.register("colour-2", origin="registered").id
        job = reindex.enqueue(services, built, is_to_go_live=False)
        assert worker.run_once()
        assert services.jobs.get(job.id).state == "succeeded"
        load.wait_for_answers()
        services.versions.promote(built)
        services.live.catch_up()
        load.wait_for_answers()
        assert services.versions.roll_back().id == first
        services.live.catch_up()
    assert load.versions == [first, switched, built]
    assert load.deleted
    # Back and forth once more at rest: both versions have every image, and none that is gone.
    for _ in range(2):
        for colour in COLOURS:
            found = {hit.image.id for hit in load.ask(colour).hits}
            assert len(found) == services.library.count()
        assert services.versions.roll_back().id in {first, built}
        services.live.catch_up()
    assert services.verifier.run() == []


def test_a_query_in_hand_at_a_promotion_is_answered_by_one_version(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embedded by the version before, it is searched in that version's index and names it."""
    for colour in COLOURS.values():
        add(services, colour)
    first = services.live.generation.version.id
    other = services.versions.register("colour-1", origin="registered").id
    services.reindexer.run(other, lambda *_: False, is_to_go_live=False)
    is_embedding, may_go_on = threading.Event(), threading.Event()
    embed = ColourEncoder.embed_texts

    def held(encoder: ColourEncoder, texts: Sequence[str]) -> TextEmbeddings:
        is_embedding.set()
        assert may_go_on.wait(60)
        return embed(encoder, texts)

    monkeypatch.setattr(ColourEncoder, "embed_texts", held)
    load = Load(services)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(load.ask, "red")
        assert is_embedding.wait(60)
        services.versions.promote(other)
        services.live.catch_up()
        may_go_on.set()
        assert answer.result().model_version == first
    assert load.ask("red").model_version == other
