"""One text query through HTTP next to encoder and index alone, at 1, 8 and 64 clients.

    python benchmarks/serving.py --photos FOLDER --queries TSV [--count 1000] [--requests 600]

The service holds `count` photos and answers GET /v1/search over keep-alive connections from another
process; "alone" is the same queue of the same encoder and the same index called from as many
threads in one process, without HTTP and SQL. The two take turns. No text is asked twice, since the
service remembers the embeddings of texts. Client and service share the machine's cores, so the
client is a bare socket, which takes little of them.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import tempfile
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from report import bar_plot, publish
from server import running

from app.services import open_services
from app.settings import Settings
from index import Generation

CLIENTS = (1, 8, 64)
LIMIT = 10
TURNS = 3


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
    measured: defaultdict[tuple[str, int], list[tuple[list[float], float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), database_url=None)
        with open_services(settings) as services:
            services.importer.run(photos)
            with running(Path(folder), BEHOLDER_WORKER="false") as server:
                for clients in (clients for clients in CLIENTS for _ in range(TURNS)):
                    some = [
                        [next(texts) for _ in range(options.requests // TURNS + 50)]
                        for _ in range(2)
                    ]
                    measured["alone", clients].append(
                        alone(services.live.generation, some[0], clients)
                    )
                    measured["HTTP", clients].append(
                        asyncio.run(over_http(server.url, some[1], clients))
                    )
    rows = [
        row(side, clients, ([one for each, _ in turns for one in each], sum(s for _, s in turns)))
        for (side, clients), turns in measured.items()
    ]
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
    place = urllib.parse.urlsplit(url)
    seconds: list[float] = []

    async def ask(waiting: Iterator[str]) -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for text in waiting:
            began = time.perf_counter()
            path = f"/v1/search?limit={LIMIT}&text={urllib.parse.quote(text)}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200 "):
                raise SystemExit(head.decode())
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            seconds.append(time.perf_counter() - began)
        writer.close()

    async def ask_all(some: list[str]) -> float:
        waiting = iter(some)
        began = time.perf_counter()
        await asyncio.gather(*(ask(waiting) for _ in range(clients)))
        return time.perf_counter() - began

    await ask_all(texts[:50])
    seconds.clear()
    return seconds, await ask_all(texts[50:])


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
