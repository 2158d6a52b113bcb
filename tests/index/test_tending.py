"""The index tuned in the background, while it answers and changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from app.services import Services, open_services
from app.settings import Settings
from index import IndexGoals, IndexTender, Query, TextPart
from index.live_index import Generation
from tests.fakes import ColourEncoder
from tests.index.uploading import BLUE, GREEN, RED, add, names_of

# Nothing is this fast, and forty images are enough: a structure is built as soon as it is due.
EAGER = IndexGoals(recall=0.9, latency_seconds=1e-9, kind="ivf", fewest_vectors=40)


def search(services: Services, text: str, limit: int = 50) -> list[str]:
    """File names of the hits."""
    return names_of(services.searcher.search(Query([TextPart(text)], limit=limit)))


@pytest.fixture
def tender(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexTender]:
    """A tender that looks often."""
    monkeypatch.setattr("index.tending.CHECK_SECONDS", 0.05)
    tending = IndexTender(services.live, EAGER)
    yield tending
    tending.close()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_an_index_that_has_grown_is_tuned_by_itself(
    services: Services, tender: IndexTender
) -> None:
    """Below the fewest vectors it stays exact; with them a structure takes over, and is rebuilt."""
    for seed in range(30):
        add(services, RED, seed=seed)
    assert tender.state().description.kind == "exact"
    for seed in range(15):
        add(services, GREEN, seed=seed)
    until(lambda: tender.state().description.kind == "ivf")
    assert sorted(search(services, "green", 15)) == sorted(f"{GREEN}-{n}.png" for n in range(15))
    added = add(services, BLUE).image
    assert search(services, "blue")[0] == added.filename
    for name in search(services, "red", 20):
        services.indexer.delete(_id_of(services, name))
    # A quarter of the rows belong to removed images: they are left behind by a new build.
    until(lambda: tender.state().description.removed == 0)
    assert tender.state().description.size == 26
    assert len(search(services, "blue")) == 26


def test_what_changes_during_a_build_is_in_the_index_that_takes_over(services: Services) -> None:
    """An image added and one deleted while the new index is made are there and gone in it."""
    first = add(services, RED).image
    add(services, GREEN)

    def meanwhile(_generation: Generation) -> None:
        services.indexer.delete(first.id)
        add(services, BLUE)
        assert search(services, "blue") == [f"{BLUE}-0.png", f"{GREEN}-0.png"]

    before = services.live.generation.vectors
    services.live.renew(meanwhile)
    assert services.live.generation.vectors is not before
    assert search(services, "blue") == [f"{BLUE}-0.png", f"{GREEN}-0.png"]


def test_a_restart_keeps_the_structure(
    settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> None:
    """What was tuned is loaded with the snapshot; nothing is built or measured again."""
    with open_services(settings, load=load_colours) as services:
        for seed in range(45):
            add(services, RED, seed=seed)
        tender = IndexTender(services.live, EAGER)
        tender.request()
        until(lambda: tender.state().description.kind == "ivf")
        tender.close()
        before = tender.state().description
    with open_services(settings, load=load_colours) as services:
        after = services.tender.state().description
        assert (after.kind, after.measured) == ("ivf", before.measured)
        assert len(search(services, "red")) == 45


def test_the_index_is_tuned_for_what_was_asked(services: Services) -> None:
    """Query vectors of sentences are remembered, a bounded number of them; pictures' are not."""
    add(services, RED)
    for number in range(3):
        search(services, f"red {number}")
    assert services.live.generation.asked.all().shape == (3, ColourEncoder.dimension)
    for _ in range(600):
        services.live.generation.asked.add(np.ones(ColourEncoder.dimension, dtype=np.float32))
    assert len(services.live.generation.asked.all()) == 512


def _id_of(services: Services, filename: str) -> str:
    page = services.searcher.search(Query([TextPart("red")], limit=50))
    return next(hit.image.id for hit in page.hits if hit.image.filename == filename)
