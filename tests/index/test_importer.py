"""Folders in: everything readable is added once, everything else is named."""

from __future__ import annotations

import os
from pathlib import Path

from app.services import Services
from index import Imported
from tests.pictures import picture_bytes


def a_folder(root: Path) -> Path:
    """Good pictures, a copy, broken ones, and what is no picture."""
    (root / "deep" / "er").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for seed in range(6):
        (root / "deep" / f"{seed}.png").write_bytes(picture_bytes(seed=seed))
    (root / "deep" / "er" / "copy of 0.png").write_bytes(picture_bytes(seed=0))
    (root / ".hidden" / "x.png").write_bytes(picture_bytes(seed=77))
    (root / "broken.png").write_bytes(picture_bytes(seed=99)[:-40])
    (root / "empty.jpg").write_bytes(b"")
    (root / "notes.txt").write_text("no picture")
    return root


def test_a_tree_is_added_once_and_refusals_are_named(services: Services, tmp_path: Path) -> None:
    """Good files are added, copies recognised, bad ones listed, hidden ones passed by."""
    folder = a_folder(tmp_path / "photos")
    seen: list[int] = []

    def note(imported: Imported) -> None:
        seen.append(imported.done)

    first = services.importer.run([folder], report=note)
    assert (first.created, first.exists) == (6, 1)
    refused = {Path(one.path).name: one.reason for one in first.refused}
    assert set(refused) == {"broken.png", "empty.jpg", "notes.txt"}
    assert all(refused.values())
    assert seen[-1] == first.done == 10
    again = services.importer.run([folder])
    assert (again.created, again.exists, len(again.refused)) == (0, 7, 3)
    image = services.library.page(limit=1, cursor=None, where=None).images[0]
    assert image.metadata["path"].startswith("deep/")
    assert list((services.blobs.directory / "incoming").iterdir()) == []


def test_a_stopped_import_goes_on_when_it_is_run_again(services: Services, tmp_path: Path) -> None:
    """What was added before the stop stays; the rest comes with the next run."""
    folder = a_folder(tmp_path / "photos")
    stopped = services.importer.run([folder], should_stop=lambda: services.library.count() >= 0)
    assert stopped.done == 0
    assert services.importer.run([folder]).created == 6


def test_names_that_are_no_text_are_stored_in_printable_form(
    services: Services, tmp_path: Path
) -> None:
    """A file name of bytes that are not UTF-8 is imported, listed and found."""
    folder = tmp_path / "photos"
    folder.mkdir()
    name = os.fsencode(folder) + b"/caf\xe9 \x01.png"
    Path(os.fsdecode(name)).write_bytes(picture_bytes())
    assert services.importer.run([folder]).created == 1
    image = services.library.page(limit=1, cursor=None, where=None).images[0]
    assert image.filename == "caf� �.png"


def test_a_file_over_the_cap_is_refused_without_being_copied_whole(
    services: Services, tmp_path: Path
) -> None:
    """A huge file costs no more disk than the cap."""
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(5_000_000_000)
    imported = services.importer.run([huge])
    assert "200,00" in imported.refused[0].reason
