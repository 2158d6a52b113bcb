"""Resident memory of the service at rest and with many images.

python benchmarks/memory.py --photos FOLDER [FOLDER …] [--count 10000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import httpx
from report import publish
from server import Server, running

from app.services import open_services
from app.settings import Settings


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    photos = [
        path for folder in options.photos for path in sorted(folder.iterdir()) if path.is_file()
    ]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        with running(data_dir, BEHOLDER_WORKER="false") as server:
            rows.append(_row("empty, at rest", 0, server))
            _search(server)
            rows.append(_row("empty, after 50 searches", 0, server))
            began = time.perf_counter()
            for path in photos[:200]:
                httpx.post(f"{server.url}/v1/images", files={"file": path.open("rb")})
            rows.append(_row("after 200 uploads over HTTP", 200, server))
        with open_services(Settings(data_dir=data_dir, database_url=None)) as services:
            services.importer.run(photos[: options.count])
            count = services.library.count()
        with running(data_dir, BEHOLDER_WORKER="false") as server:
            rows.append(_row("started again, at rest", count, server))
            _search(server)
            rows.append(_row("after 50 searches", count, server))
    publish("memory", rows, seconds=time.perf_counter() - began)


def _search(server: Server) -> None:
    for number in range(50):
        httpx.get(f"{server.url}/v1/search", params={"text": f"photo number {number}"})


def _row(state: str, images: int, server: Server) -> dict[str, object]:
    return {"state": state, "images": images, "resident MB": round(server.resident_megabytes())}


if __name__ == "__main__":
    main()
