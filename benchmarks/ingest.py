"""Images a second of the whole import next to the encoder alone.

    python benchmarks/ingest.py --photos FOLDER [--count 1000] [--repeats 3]

Compared, interleaved, on the same photos in one run: the encoder alone on prepared pixels; decoding
and preparing alone; `beholder ingest`'s importer into an empty data folder (read, hash, decode,
thumbnail, embed, commit). The last can reach the encoder's rate only as far as decoding fits on the
cores beside it, so the harmonic sum of the first two is printed as the limit of shared cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import bar_plot, publish

from app.services import open_services
from app.settings import Settings
from model import decode, load_encoder, set_threads

BATCH = 32


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.iterdir() if path.is_file())[: options.count]
    cores = os.cpu_count() or 1
    set_threads(cores)
    encoder = load_encoder()
    pool = ThreadPoolExecutor(cores)

    def prepare(path: Path) -> NDArray[np.uint8]:
        return encoder.prepare(decode(path, shorter_side=encoder.image_size))

    pixels = list(pool.map(prepare, photos))
    rates: dict[str, list[float]] = {"encoder alone": [], "decoding alone": [], "whole import": []}
    encoder.embed_pixels(pixels[: 4 * BATCH])
    for _ in range(options.repeats):
        began = time.perf_counter()
        for start in range(0, len(pixels), BATCH):
            encoder.embed_pixels(pixels[start : start + BATCH])
        rates["encoder alone"].append(len(photos) / (time.perf_counter() - began))
        began = time.perf_counter()
        list(pool.map(prepare, photos))
        rates["decoding alone"].append(len(photos) / (time.perf_counter() - began))
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(data_dir=Path(folder), database_url=None)
            with open_services(settings) as services:
                began = time.perf_counter()
                imported = services.importer.run(photos)
                rates["whole import"].append(imported.done / (time.perf_counter() - began))
    median = {name: statistics.median(values) for name, values in rates.items()}
    limit = 1 / (1 / median["encoder alone"] + 1 / median["decoding alone"])
    rows = [
        {
            "what": name,
            "images/s (median)": median[name],
            "lowest": min(values),
            "highest": max(values),
            "share of the encoder": median[name] / median["encoder alone"],
        }
        for name, values in rates.items()
    ]
    rows.append(
        {
            "what": "limit of shared cores",
            "images/s (median)": limit,
            "lowest": limit,
            "highest": limit,
            "share of the encoder": limit / median["encoder alone"],
        }
    )
    publish("ingest", rows, photos=len(photos), repeats=options.repeats)
    bar_plot("ingest", rows, "what", "images/s (median)")


if __name__ == "__main__":
    main()
