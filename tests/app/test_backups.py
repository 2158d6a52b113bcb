"""Backups made in the middle of work, checked before they are put back, and proven after."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.backups import make_backup, restore_backup
from app.services import Services, open_services
from app.settings import Settings
from index import BackupDamaged, BackupMaker, Conflict, Database, Query, TextPart
from index.store import copying
from tests.app.asking import ON_SQLITE
from tests.index.uploading import BLUE, GREEN, RED, add, names_of


@pytest.fixture
def elsewhere(settings: Settings, second_database_url: str, tmp_path: Path) -> Settings:
    """An empty store, to restore into."""
    return settings.model_copy(
        update={
            "data_dir": tmp_path / "elsewhere",
            "database_url": settings.model_validate(
                settings.model_dump() | {"database_url": second_database_url}
            ).database_url,
        }
    )


def backup_maker(services: Services) -> BackupMaker:
    """A maker over the files of these services, so that a test can step in between."""
    return BackupMaker(services.database, services.blobs, services.settings.models_dir)


def ids_of(services: Services) -> set[str]:
    """The ids of all images."""
    page = services.library.page(limit=1_000, cursor=None, where=None)
    return {image.id for image in page.images}


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def all_rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as Python sees it."""
    with database.reading() as session:
        return {
            table.name: sorted((tuple(row) for row in session.execute(table.select())), key=repr)
            for table in copying.Base.metadata.sorted_tables
        }


@ON_SQLITE
def test_a_file_that_goes_between_its_finding_and_its_opening_is_of_a_deleted_image(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup is then of the moment after the deletion, and no error."""
    add(services, RED)
    gone = add(services, GREEN).image
    fetched = services.blobs.fetched

    @contextmanager
    def then_deleted(sha256: str) -> Iterator[Path]:
        with fetched(sha256) as path:
            if sha256 == gone.sha256:
                services.indexer.delete(gone.id)
            yield path

    monkeypatch.setattr(services.blobs, "fetched", then_deleted)
    made = backup_maker(services).make(tmp_path / "backup")
    assert (made.images, made.missing) == (1, ())


def test_what_was_backed_up_comes_back_whole(
    services: Services, elsewhere: Settings, load_colours: Any, tmp_path: Path
) -> None:
    """Rows, words, files and answers are the same, and uploads go on with fresh numbers."""
    add(
        services,
        RED,
        tags=("a", "b"),
        caption="☃ \U0001f600",
        metadata={"k": [1, None, {"x": 0.5}]},
    )
    add(services, GREEN)
    services.indexer.delete(add(services, BLUE, seed=7).image.id)
    version = services.versions.to_build(None, "colour-1")
    services.reindexer.run(version.id, lambda *_: False)
    services.live.catch_up()
    made = make_backup(services.settings, tmp_path / "backup")
    assert (made.images, made.files_copied, made.missing) == (2, 2, ())
    before = all_rows(services.database)

    restored = restore_backup(elsewhere, tmp_path / "backup", load=load_colours)
    assert (restored.images, restored.missing) == (2, ())
    with open_services(elsewhere, load=load_colours) as again:
        assert all_rows(again.database) == before
        assert again.verifier.run() == []
        result = again.searcher.search(Query([TextPart("green")]))
        assert result.model_version == version.id
        assert names_of(result) == [f"{GREEN}-0.png", f"{RED}-0.png"]
        for hit in result.hits:
            path = services.library.file(hit.image)
            assert again.library.file(hit.image).read_bytes() == path.read_bytes()
        add(again, BLUE)
        assert names_of(again.searcher.search(Query([TextPart("blue")])))[0] == f"{BLUE}-0.png"


def test_a_second_backup_copies_only_what_is_new(services: Services, tmp_path: Path) -> None:
    """What is there is read and kept; what is gone from the store goes from the backup."""
    gone = add(services, RED).image
    kept = add(services, GREEN).image
    folder = tmp_path / "backup"
    first = make_backup(services.settings, folder)
    assert (first.files_copied, first.files_kept) == (2, 0)
    services.indexer.delete(gone.id)
    new = add(services, BLUE).image
    second = make_backup(services.settings, folder)
    assert (second.files_copied, second.files_kept) == (1, 1)
    names = {path.name for path in (folder / "files").rglob("*") if path.is_file()}
    assert names == {kept.sha256, new.sha256}
    assert len(list(folder.glob("rows-*"))) == 1
    third = make_backup(services.settings, folder, reads_all=False)
    assert (third.files_copied, third.files_kept, third.files_removed) == (0, 2, 1)


@ON_SQLITE
@pytest.mark.parametrize("what", ["files", "rows", "models", "manifest.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_bad_backup_is_refused_before_anything_is_touched(
    services: Services, elsewhere: Settings, load_colours: Any, tmp_path: Path, what: str, how: str
) -> None:
    """One byte is enough; the empty store stays empty, and the next backup heals the folder."""
    add(services, RED)
    folder = tmp_path / "backup"
    make_backup(services.settings, folder)
    path = next(
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0].startswith(what)
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content if how == "flipped" else content[:-1])
    with open_services(elsewhere, load=load_colours):
        pass
    before = files_below(elsewhere.data_dir)
    with pytest.raises(BackupDamaged, match=r"damaged|missing|altered|read|finished"):
        restore_backup(elsewhere, folder, load=load_colours)
    after = files_below(elsewhere.data_dir)
    assert {k: v for k, v in after.items() if "beholder" not in k} == before

    make_backup(services.settings, folder)
    assert restore_backup(elsewhere, folder, load=load_colours).images == 1


@ON_SQLITE
def test_a_store_with_images_is_never_overwritten(
    services: Services, tmp_path: Path, load_colours: Any
) -> None:
    """Restoring is for an empty store; this one stays as it is."""
    make_backup(services.settings, tmp_path / "backup")
    add(services, RED)
    with pytest.raises(Conflict, match="1 images"):
        restore_backup(services.settings, tmp_path / "backup", load=load_colours)
    assert len(ids_of(services)) == 1


@ON_SQLITE
def test_a_folder_with_other_things_is_not_written_to(services: Services, tmp_path: Path) -> None:
    """Nobody's home folder becomes a backup, and a second writer is told of the first."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(Conflict, match="other things"):
        make_backup(services.settings, folder)
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
    maker = backup_maker(services)

    def meanwhile(*_: object) -> None:
        with pytest.raises(Conflict, match="Another backup"):
            make_backup(services.settings, tmp_path / "backup")

    maker.make(tmp_path / "backup", report=meanwhile)


def test_an_image_deleted_during_the_backup_is_not_in_it(
    services: Services,
    elsewhere: Settings,
    load_colours: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows whose file is gone since are read again: what is restored is what was a moment later."""
    for seed in range(4):
        add(services, RED, seed=seed)
    doomed = sorted(ids_of(services))
    fetched = services.blobs.fetched
    seeds = itertools.count()

    @contextmanager
    def deleting(sha256: str) -> Iterator[Path]:
        if doomed:
            services.indexer.delete(doomed.pop())
            add(services, GREEN, seed=next(seeds))
        with fetched(sha256) as path:
            yield path

    monkeypatch.setattr(services.blobs, "fetched", deleting)
    made = backup_maker(services).make(tmp_path / "backup")
    assert (made.images, made.missing) == (4, ())
    restore_backup(elsewhere, tmp_path / "backup", load=load_colours)
    with open_services(elsewhere, load=load_colours) as again:
        assert ids_of(again) == ids_of(services)
        assert again.verifier.run() == []


def test_a_backup_under_writes_is_of_a_state_that_existed(
    services: Services, elsewhere: Settings, load_colours: Any, tmp_path: Path
) -> None:
    """One writer's every state is known; what comes back is one of them, whole."""
    states = [frozenset(ids_of(services))]
    stop = threading.Event()

    def write() -> None:
        present: list[str] = []
        seed = 0
        while not stop.is_set():
            if len(present) > 6:
                services.indexer.delete(present.pop(seed % 5))
            else:
                present.append(add(services, BLUE, seed=seed).image.id)
            states.append(frozenset(present))
            seed += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(states) < 5:
            stop.wait(0.01)
        for _ in range(3):
            make_backup(services.settings, tmp_path / "backup")
            at = len(states)
            while len(states) < at + 3:
                stop.wait(0.01)
    finally:
        stop.set()
        writer.join()
    restore_backup(elsewhere, tmp_path / "backup", load=load_colours)
    with open_services(elsewhere, load=load_colours) as again:
        assert frozenset(ids_of(again)) in states
        assert again.verifier.run() == []


@ON_SQLITE
def test_a_file_that_the_store_has_lost_is_named(
    services: Services, elsewhere: Settings, load_colours: Any, tmp_path: Path
) -> None:
    """The rest is backed up and comes back; a copy from better days is kept."""
    lost, saved = add(services, RED).image, add(services, GREEN).image
    services.library.file(lost).unlink()
    made = make_backup(services.settings, tmp_path / "backup")
    assert (made.images, made.missing) == (2, (lost.sha256,))
    services.library.file(saved).write_bytes(b"damaged")
    made = make_backup(services.settings, tmp_path / "backup")
    assert made.missing == (lost.sha256,)
    restored = restore_backup(elsewhere, tmp_path / "backup", load=load_colours)
    assert restored.missing == (lost.sha256,)
    with open_services(elsewhere, load=load_colours) as again:
        assert [one.kind for one in again.verifier.run()] == ["file missing"]


@ON_SQLITE
def test_a_restore_that_is_cut_off_can_be_run_again(
    services: Services,
    elsewhere: Settings,
    load_colours: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows come last and at once, so half a restore is an empty store."""
    for seed in range(3):
        add(services, RED, seed=seed)
    make_backup(services.settings, tmp_path / "backup")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("index.backups.restorer.copying.copy_rows", killed)
    with pytest.raises(KeyboardInterrupt):
        restore_backup(elsewhere, tmp_path / "backup", load=load_colours)
    monkeypatch.undo()
    with open_services(elsewhere, load=load_colours) as again:
        assert ids_of(again) == set()
    assert restore_backup(elsewhere, tmp_path / "backup", load=load_colours).images == 3


@ON_SQLITE
def test_a_backup_is_one_plain_file_of_rows(services: Services, tmp_path: Path) -> None:
    """It can be read with any tool, from a folder that takes no writes."""
    image = add(services, RED).image
    make_backup(services.settings, tmp_path / "backup")
    (path,) = (tmp_path / "backup").glob("rows-*")
    assert path.suffix == ".sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute("SELECT id FROM images").fetchall() == [(image.id,)]
        assert connection.execute("PRAGMA journal_mode").fetchone() != ("wal",)
