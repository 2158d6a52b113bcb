"""One text query through HTTP next to encoder and index alone, at 1, 8 and 64 clients.

    python benchmarks/serving.py --photos FOLDER --queries TSV [--count 1000] [--requests 600]

The service holds `count` photos and answers GET /v1/search over keep-alive connections from another
process; "alone" is the same queue of the same encoder and the same index called from as many
threads in one process, without HTTP and SQL. No text is asked twice, since the service remembers
the embeddings of texts. Client and service share the machine's cores, so the service's share of
the time is less than shown.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from report import bar_plot, publish
from server import running

from app.services import open_services
from app.settings import Settings
from index import Generation

CLIENTS = (1, 8, 64)
LIMIT = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--requests", type=int, default=600)
    options = parser.parse_args()
    with options.queries.open(encoding="utf-8") as file:
        texts = iter(dict.fromkeys(row["caption"] for row in csv.DictReader(file, delimiter="\t")))
    photos = sorted(path for path in options.photos.iterdir() if path.is_file())[: options.count]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=None)
        with open_services(settings) as services:
            services.importer.run(photos)
            for clients in CLIENTS:
                some = [next(texts) for _ in range(options.requests + 50)]
                rows.append(row("alone", clients, alone(services.live.generation, some, clients)))
        with running(Path(folder), BEHOLDER_WORKER="false") as server:
            for clients in CLIENTS:
                some = [next(texts) for _ in range(options.requests + 50)]
                rows.append(row("HTTP", clients, asyncio.run(over_http(server.url, some, clients))))
    rows.sort(key=lambda one: (one["clients"], one["side"]))
    publish("serving", rows, images=len(photos), requests=options.requests)
    bar_plot(
        "serving",
        [{"what": f"{one['side']}, {one['clients']} clients", **one} for one in rows],
        "what",
        "p50 ms",
    )


def alone(generation: Generation, texts: list[str], clients: int) -> tuple[list[float], float]:
    """Seconds of each answer but the first fifty, and of all, by encoder and index without HTTP."""

    def ask(text: str) -> float:
        began = time.perf_counter()
        vector = generation.queue.embed_text(text).vector
        generation.vectors.search(vector[None], LIMIT)
        return time.perf_counter() - began

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, texts[:50]))
        began = time.perf_counter()
        seconds = list(pool.map(ask, texts[50:]))
        return seconds, time.perf_counter() - began


async def over_http(url: str, texts: list[str], clients: int) -> tuple[list[float], float]:
    """The same of the service at `url`."""
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        seconds: list[float] = []
        waiting = iter(texts)

        async def ask(*, is_counted: bool) -> None:
            for text in waiting:
                began = time.perf_counter()
                answer = await client.get("/v1/search", params={"text": text, "limit": LIMIT})
                answer.raise_for_status()
                if is_counted:
                    seconds.append(time.perf_counter() - began)

        waiting = iter(texts[:50])
        await asyncio.gather(*(ask(is_counted=False) for _ in range(clients)))
        waiting = iter(texts[50:])
        began = time.perf_counter()
        await asyncio.gather(*(ask(is_counted=True) for _ in range(clients)))
        return seconds, time.perf_counter() - began


def row(side: str, clients: int, measured: tuple[list[float], float]) -> dict[str, Any]:
    """A line of the table: which side was asked, by how many, and what `measured` tells."""
    seconds, elapsed = measured
    return {
        "side": side,
        "clients": clients,
        "p50 ms": float(1e3 * np.percentile(seconds, 50)),
        "p99 ms": float(1e3 * np.percentile(seconds, 99)),
        "queries/s": len(seconds) / elapsed,
    }


if __name__ == "__main__":
    main()
