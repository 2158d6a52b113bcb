"""The service on Milvus: the same answers, the same promises, and the way there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from app.services import Services, open_keeper, open_services
from app.settings import Settings
from index import IndexUnavailable, Query, TextPart, move
from index.vectors.milvus_index import MilvusKeeper, collection_name
from tests.fakes import ColourEncoder
from tests.index.uploading import BLUE, GREEN, RED, add, names_of

Load = Callable[[str], ColourEncoder]

pytest.importorskip("milvus_lite", reason="needs the extra `milvus` and Milvus Lite")


@pytest.fixture
def on_milvus(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of a service whose vectors lie in a Milvus Lite file."""
    there = {"vector_index": "milvus", "milvus_uri": str(tmp_path / "milvus.db")}
    return settings.model_copy(update=there)


@pytest.fixture
def services(on_milvus: Settings, load_colours: Load) -> Iterator[Services]:
    """Every service, on Milvus."""
    with open_services(on_milvus, load=load_colours) as opened:
        yield opened


def search(services: Services, text: str) -> list[str]:
    """File names of the hits."""
    return names_of(services.searcher.search(Query([TextPart(text)])))


def test_what_is_acknowledged_is_found_and_what_is_deleted_is_not(services: Services) -> None:
    """Own writes are read at once, as with an index in the process."""
    red = add(services, RED).image
    add(services, GREEN)
    assert search(services, "red") == [f"{RED}-0.png", f"{GREEN}-0.png"]
    services.indexer.delete(red.id)
    assert search(services, "red") == [f"{GREEN}-0.png"]
    described = services.tender.state().description
    assert (described.kind, described.size) == ("milvus", 1)
    assert services.verifier.run() == []


def test_a_restart_applies_what_has_changed_and_embeds_nothing(
    on_milvus: Settings, load_colours: Load
) -> None:
    """The collection knows how far it is; vectors of a lost collection come again from SQL."""
    with open_services(on_milvus, load=load_colours) as services:
        add(services, RED)
        version = services.live.generation.version.id
    with open_services(on_milvus, load=load_colours) as services:
        add(services, BLUE)
        assert search(services, "red") == [f"{RED}-0.png", f"{BLUE}-0.png"]
    keeper = MilvusKeeper(str(on_milvus.milvus_uri))
    keeper.discard(version)
    keeper.close()
    with open_services(on_milvus, load=load_colours) as services:
        assert search(services, "red") == [f"{RED}-0.png", f"{BLUE}-0.png"]
        encoder = services.live.generation.queue.encoder
        assert isinstance(encoder, ColourEncoder)
        assert encoder.batch_sizes == []


def test_an_index_is_moved_there_and_back_and_goes_on_where_it_was_stopped(
    settings: Settings, on_milvus: Settings, load_colours: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move that was stopped sends only what is lacking, and drops what is there no more."""
    monkeypatch.setattr("index.store.embeddings.ROWS_PER_READ", 2)
    with open_services(settings, load=load_colours) as services:
        gone, *_ = [add(services, RED, seed=seed).image for seed in range(5)]
        version = services.live.generation.version
        keeper = open_keeper(on_milvus, "milvus")

        def stopped(_done: int, _total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            move(services.database, keeper, stopped)
        assert len(keeper.empty(version.id, version.dimension)) == 2
        services.indexer.delete(gone.id)
        reports: list[tuple[int, int]] = []
        _, size = move(services.database, keeper, lambda *now: reports.append(now))
        assert (size, reports[-1]) == (4, (4, 4))
        keeper.close()
        expected = search(services, "red")
    with open_services(on_milvus, load=load_colours) as services:
        assert search(services, "red") == expected
        add(services, BLUE)
        keeper = open_keeper(settings, "faiss")
        assert move(services.database, keeper, lambda *_: None)[1] == 5
    with open_services(settings, load=load_colours) as services:
        assert len(search(services, "red")) == 5


def test_a_milvus_that_does_not_answer_is_an_error_of_ours(services: Services) -> None:
    """The client's errors come out as IndexUnavailable, which is answered 503."""
    vectors = services.live.generation.vectors
    MilvusKeeper.discard(services.live._keeper, services.live.generation.version.id)  # type: ignore[arg-type]
    with pytest.raises(IndexUnavailable):
        vectors.search(np.ones((1, vectors.dimension), dtype=np.float32), 3)


def test_names_of_collections_are_those_of_versions_and_no_other() -> None:
    """Two versions never share a collection, whatever characters their ids have."""
    ids = ["2026-01-31", "2026_01_31", "a.b", "a_2e_b", "ä"]
    names = {collection_name(version) for version in ids}
    assert len(names) == len(ids)
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in names)


def test_milvus_without_a_uri_is_refused(tmp_path: Path) -> None:
    """Nonsense stops the start and names the setting."""
    with pytest.raises(ValueError, match="BEHOLDER_MILVUS_URI"):
        Settings(data_dir=tmp_path, vector_index="milvus")
