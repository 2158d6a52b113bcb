"""What an import makes of files that are no files, and of a model that is busy."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from app.ingesting import ingest_with_bar
from app.services import Services
from model import QueueFull
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
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full queue is no fault of a file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.png").write_bytes(picture_bytes(seed=seed))
    queue = services.live.generation.queue
    submit = queue.submit_pixels
    refusals = iter(range(4))

    def often_full(pixels: Any) -> Any:
        if next(refusals, None) is not None:
            raise QueueFull(512, 0)
        return submit(pixels)

    monkeypatch.setattr(queue, "submit_pixels", often_full)
    imported, _ = ingest_with_bar(services, [folder], "default")
    assert (imported.created, imported.refused) == (6, [])
