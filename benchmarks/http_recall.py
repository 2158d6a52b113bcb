"""Recall of sentence search over HTTP, on captioned photos loaded through the API.

    python benchmarks/http_recall.py --pairs TSV --photos FOLDER

Each photo of the table (`image`, `caption`) is uploaded; each caption is asked; recall@k is the
share of captions whose own photo is among the first k hits.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import tempfile
from pathlib import Path

import httpx
from report import bar_plot, publish
from server import running

RANKS = (1, 5, 10)
CLIENTS = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    options = parser.parse_args()
    with options.pairs.open(encoding="utf-8") as file:
        pairs = [(row["image"], row["caption"]) for row in csv.DictReader(file, delimiter="\t")]
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), BEHOLDER_WORKER="false") as server,
    ):
        ranks = asyncio.run(_ranks(server.url, pairs, options.photos))
    rows = [{"measure": "photos", "value": len({name for name, _ in pairs})}]
    rows += [{"measure": "captions", "value": len(ranks)}]
    rows += [
        {"measure": f"recall@{k}", "value": sum(rank <= k for rank in ranks) / len(ranks)}
        for k in RANKS
    ]
    publish("http_recall", rows)
    bar_plot("http_recall", rows[2:], "measure", "value")


async def _ranks(url: str, pairs: list[tuple[str, str]], photos: Path) -> list[int]:
    limits = asyncio.Semaphore(CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:

        async def upload(name: str) -> tuple[str, str]:
            async with limits:
                content = (photos / name).read_bytes()
                answer = await client.post("/v1/images", files={"file": (name, content)})
                answer.raise_for_status()
                return name, answer.json()["id"]

        names = dict.fromkeys(name for name, _ in pairs)
        ids = dict(await asyncio.gather(*(upload(name) for name in names)))

        async def rank(name: str, caption: str) -> int:
            async with limits:
                answer = await client.get(
                    "/v1/search", params={"text": caption, "limit": max(RANKS)}
                )
                answer.raise_for_status()
            found = [hit["image"]["id"] for hit in answer.json()["hits"]]
            return found.index(ids[name]) + 1 if ids[name] in found else max(RANKS) + 1

        return list(await asyncio.gather(*(rank(*pair) for pair in pairs)))


if __name__ == "__main__":
    main()
