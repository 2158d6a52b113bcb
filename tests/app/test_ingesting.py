"""What an import makes of files that are no files, and of a model that is busy."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from app.ingesting import ingest_with_bar
from app.services import Services, open_services
from app.settings import Settings
from index import Upload
from index.uploads import copy_in
from tests.app.asking import ON_SQLITE
from tests.pictures import picture_bytes

pytestmark = ON_SQLITE


def test_pipes_sockets_and_links_to_nowhere_are_refused(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in a folder makes an import wait for ever."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "good.png").write_bytes(picture_bytes())
    (folder / "link.png").symlink_to(folder / "good.png")
    (folder / "nowhere.png").symlink_to(folder / "gone.png")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    # The address of a socket has at most 108 bytes, so it is a relative one.
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        imported, was_interrupted = ingest_with_bar(services, [folder], "default")
    assert not was_interrupted
    assert (imported.created, imported.exists) == (1, 1)
    refused = {Path(one.path).name for one in imported.refused}
    assert refused == {"nowhere.png", "pipe.png", "socket.png"}
    assert list((services.settings.data_dir / "incoming").iterdir()) == []


def test_a_busy_model_makes_an_import_wait_and_refuse_nothing(
    settings: Settings, load_colours: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full queue is no fault of a file, and no reason to read the file again."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(12):
        (folder / f"{seed}.png").write_bytes(picture_bytes(seed=seed))
    copied: list[Path] = []

    def counted(source: Path, *arguments: Any, **options: Any) -> Upload:
        copied.append(source)
        return copy_in(source, *arguments, **options)

    monkeypatch.setattr("index.importer.copy_in", counted)
    with open_services(settings.model_copy(update={"max_waiting": 1}), load=load_colours) as opened:
        imported, _ = ingest_with_bar(opened, [folder], "default")
    assert (imported.created, imported.refused) == (12, [])
    assert len(copied) == 12
