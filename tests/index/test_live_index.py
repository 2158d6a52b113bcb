"""The index in step with the change log: across processes, damage, restarts and promotions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from app.services import Services, open_services
from app.settings import Settings
from index import Query, TextPart
from index.store.schema import EmbeddingRow
from tests.fakes import ColourEncoder
from tests.index.uploading import BLUE, GREEN, RED, add, names_of

Load = Callable[[str], ColourEncoder]


def search(services: Services, text: str = "red", limit: int = 10) -> list[str]:
    """File names of the hits."""
    return names_of(services.searcher.search(Query([TextPart(text)], limit=limit)))


def test_the_index_is_loaded_from_its_snapshot_without_embedding(
    settings: Settings, load_colours: Load
) -> None:
    """A restart reads the snapshot and the changes after it; no picture is embedded again."""
    with open_services(settings, load=load_colours) as services:
        add(services, RED)
        add(services, GREEN)
    with open_services(settings, load=load_colours) as services:
        assert search(services)[0] == f"{RED}-0.png"
        encoder = services.live.generation.queue.encoder
        assert isinstance(encoder, ColourEncoder)
        assert encoder.batch_sizes == []


@pytest.mark.parametrize("damage", ["truncated", "random", "missing", "folder", "stale"])
def test_a_bad_snapshot_costs_a_rebuild_and_no_image(
    settings: Settings, load_colours: Load, damage: str
) -> None:
    """Whatever becomes of the snapshot, the index is made again from SQL."""
    with open_services(settings, load=load_colours) as services:
        removed = add(services, RED, seed=1).image
        services.live.save()
        snapshot = next((settings.data_dir / "index").glob("*.safetensors"))
        stale = snapshot.read_bytes()
        add(services, RED, seed=2)
        add(services, GREEN)
        services.indexer.delete(removed.id)
    content = snapshot.read_bytes()
    if damage == "truncated":
        snapshot.write_bytes(content[: len(content) // 2])
    elif damage == "random":
        snapshot.write_bytes(b"\x07" * 999)
    elif damage == "stale":
        snapshot.write_bytes(stale)
    else:
        snapshot.unlink()
        if damage == "folder":
            snapshot.mkdir()
    with open_services(settings, load=load_colours) as services:
        assert search(services) == [f"{RED}-2.png", f"{GREEN}-0.png"]
        encoder = services.live.generation.queue.encoder
        assert isinstance(encoder, ColourEncoder)
        assert encoder.batch_sizes == []
    kept = snapshot.with_name(snapshot.name + ".damaged")
    assert kept.exists() == (damage in {"truncated", "random", "folder"})


def test_a_snapshot_newer_than_the_database_is_not_believed(
    settings: Settings, load_colours: Load
) -> None:
    """A database put back from a backup rules: images it does not know are not found."""
    with open_services(settings, load=load_colours) as services:
        add(services, RED)
        services.live.save()
        snapshot = next((settings.data_dir / "index").glob("*.safetensors"))
        newer = snapshot.read_bytes()
        with services.database.writing() as session:
            from index.store import changes

            changes.take_lock(session, -1)
    snapshot.write_bytes(newer)
    with open_services(settings, load=load_colours) as services:
        assert search(services) == [f"{RED}-0.png"]
        assert len(services.live.generation.vectors) == 1


def test_two_processes_follow_each_other(settings: Settings, load_colours: Load) -> None:
    """What one adds or deletes, the other finds or forgets within a second."""
    with (
        open_services(settings, load=load_colours) as one,
        open_services(settings, load=load_colours) as other,
    ):
        image = add(one, BLUE).image
        assert search(one, "blue") == [image.filename]
        _until(lambda: search(other, "blue") == [image.filename])
        other.indexer.delete(image.id)
        assert search(other, "blue") == []
        _until(lambda: search(one, "blue") == [])


def test_a_process_is_told_of_changes_and_asks_when_it_is_not(
    settings: Settings, load_colours: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL announces each commit; a connection that was cut is made again."""
    if settings.effective_database_url.startswith("sqlite"):
        pytest.skip("SQLite has nothing to listen to")
    monkeypatch.setattr("index.live_index.POLL_SECONDS", 3_600)
    with (
        open_services(settings, load=load_colours) as one,
        open_services(settings, load=load_colours) as other,
    ):
        image = add(one, BLUE).image
        _until(lambda: search(other, "blue") == [image.filename])
        with one.database.writing() as session:
            session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
            )
        one.indexer.delete(image.id)
        _until(lambda: search(other, "blue") == [])
        add(other, RED)
        _until(lambda: search(one) == [f"{RED}-0.png"])


def test_a_snapshot_that_cannot_be_written_is_reported_and_survived(
    services: Services, settings: Settings
) -> None:
    """The service goes on without snapshots and says why it has none."""
    folder = settings.data_dir / "index"
    if folder.exists():
        folder.rmdir()
    folder.write_text("in the way")
    add(services, RED)
    services.live.save()
    assert "could not be saved" in services.live.problems[0]
    assert search(services) == [f"{RED}-0.png"]
    folder.unlink()
    services.live.save()
    assert services.live.problems == []


def _until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_the_snapshot_folder_holds_one_file_a_version(
    services: Services, settings: Settings
) -> None:
    """Saving twice replaces, and leaves no temporary file."""
    add(services, RED)
    services.live.save()
    add(services, GREEN)
    services.live.save()
    files: list[Path] = list((settings.data_dir / "index").iterdir())
    assert len(files) == 1


@pytest.mark.parametrize("damage", ["not finite", "of no length", "cut"])
def test_a_bad_embedding_in_sql_is_left_out_and_the_others_are_found(
    settings: Settings, load_colours: Load, damage: str
) -> None:
    """One row that can't be compared with anything keeps the service from nothing."""
    with open_services(settings, load=load_colours) as services:
        bad = add(services, RED).image
        add(services, GREEN)
        version = services.live.generation.version.id
        vector = np.zeros(ColourEncoder.dimension, dtype=np.float16)
        if damage == "not finite":
            vector[0] = np.nan
        with services.database.writing() as session:
            row = session.get_one(EmbeddingRow, (bad.number, version))
            row.vector = vector.tobytes()[: 7 if damage == "cut" else None]
    next((settings.data_dir / "index").glob("*.safetensors")).unlink()
    with open_services(settings, load=load_colours) as services:
        assert search(services) == [f"{GREEN}-0.png"]
        assert bad.number not in services.live.generation.vectors
