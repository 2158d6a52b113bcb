r"""The whole service with many images: a text query over HTTP beside encoder and index; its start.

    python benchmarks/large_service.py --data FOLDER --work FOLDER [--count 100000] [--requests 300]

The store is made by rows: the vectors of benchmarks/vector_index.py, which also says what DATA and
WORK hold, with an image row and a change each, and no picture files, which a search does not open.
It stays in WORK. The index is tuned as the service tunes it; "alone" and "HTTP" ask the same
number of captions, none twice (benchmarks/serving.py). A start is timed from the process's first
instruction to the first answered search: from the snapshot, and with none, from SQL.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from report import publish
from server import running
from serving import alone, over_http, row
from sqlalchemy import insert
from sqlalchemy.orm import Session
from vector_index_data import captions, embedded, extended, surface

from app.services import Services, open_services
from app.settings import Settings
from index.store import changes, collections
from index.store.schema import EmbeddingRow, ImageRow

CLIENTS = (1, 8)
ROWS_AT_A_TIME = 5_000
COLLECTION = "default"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=300)
    options = parser.parse_args()
    images, _ = embedded(options.data, options.model, options.work, 15_000)
    on = surface(images, options.work)
    vectors = extended(on, options.count, options.work / f"vectors-{options.count}.npy")
    texts = iter(np.random.default_rng(4).permutation(sorted(set(captions(options.data)))).tolist())
    rows: list[dict[str, Any]] = []
    folder = options.work / f"store-{options.count}"
    settings = Settings(data_dir=folder, database_url=None, model=options.model)
    with open_services(settings) as services:
        _fill(services, vectors)
        for clients in CLIENTS:
            some = [next(texts) for _ in range(options.requests + 50)]
            rows.append(row("alone", clients, alone(services.live.generation, some, clients)))
        described = services.live.generation.vectors.describe()
    starts = []
    for way in ("snapshot", "SQL"):
        if way == "SQL":
            for snapshot in settings.index_dir.iterdir():
                snapshot.unlink()
        began = time.perf_counter()
        told = {"BEHOLDER_WORKER": "false", "BEHOLDER_MODEL": options.model}
        with running(settings.data_dir, **told) as server:
            httpx.get(f"{server.url}/v1/search", params={"text": "a dog"}).raise_for_status()
            starts.append({"from": way, "first answer s": time.perf_counter() - began})
            for clients in CLIENTS if way == "snapshot" else ():
                some = [next(texts) for _ in range(options.requests + 50)]
                rows.append(row("HTTP", clients, asyncio.run(over_http(server.url, some, clients))))
    rows.sort(key=lambda one: (one["clients"], one["side"]))
    publish(f"large_service_{options.count}", rows, kind=described.kind, requests=options.requests)
    publish(f"large_service_{options.count}_starts", starts, kind=described.kind)


def _fill(services: Services, vectors: NDArray[np.float16]) -> None:
    """Bring the store to all vectors and its index to what tuning makes of them."""
    have = len(services.live.generation.vectors)
    for start in range(have, len(vectors), ROWS_AT_A_TIME):
        end = min(start + ROWS_AT_A_TIME, len(vectors))
        with services.database.writing() as session:
            _add(session, services.live.generation.version.id, start, vectors[start:end])
    services.live.catch_up()
    if services.live.generation.vectors.describe().measured is None:
        services.tender.request()
        while services.tender.state().is_tuning:
            time.sleep(1)


def _add(session: Session, version_id: str, start: int, vectors: NDArray[np.float16]) -> None:
    numbers = range(start + 1, start + 1 + len(vectors))
    collections.put(session, COLLECTION, collections.CollectionSettings())
    about = {"collection": COLLECTION, "format": "JPEG", "media_type": "image/jpeg"}
    about |= {"width": 500, "height": 375, "size_bytes": 60_000, "details": {}}
    rows = [
        {
            "number": number,
            "id": f"{number:016x}",
            "sha256": f"{number:064x}",
            "filename": f"{number}.jpg",
            "created_at": datetime.now(UTC),
            **about,
        }
        for number in numbers
    ]
    session.execute(insert(ImageRow), rows)
    embedded_rows = [
        {"image_number": number, "model_version": version_id, "vector": vector.tobytes()}
        for number, vector in zip(numbers, vectors, strict=True)
    ]
    session.execute(insert(EmbeddingRow), embedded_rows)
    changes.append(session, "add", list(numbers))


if __name__ == "__main__":
    main()
