"""Images and texts a second of the encoder alone, in float32 and in the serving precision.

    python benchmarks/encoder.py [--model compact] [--images 128] [--repeats 5]

Compared, interleaved, in one run: the serving path (norms folded, channels last, the machine's
precision) with the same modules as they are trained (float32, nothing folded). Pixels are noise;
decoding is not part of it. Median and spread over the repeats, after one of warm-up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import bar_plot, publish

from model import load_encoder
from model.checkpoints import build_model, read_checkpoint
from model.preprocessing import to_tensor

CHUNK = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="compact")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    encoder = load_encoder(options.model)
    checkpoint, _ = read_checkpoint(Path(encoder.checkpoint))
    plain = build_model(checkpoint)
    side = encoder.image_size
    random = np.random.default_rng(0)
    pixels = [
        random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(options.images)
    ]
    sentences = [f"two people walk past {number} red cars in the rain" for number in range(64)]

    def as_trained() -> None:
        with torch.inference_mode():
            for start in range(0, len(pixels), CHUNK):
                batch = to_tensor(pixels[start : start + CHUNK], checkpoint.preprocessing)
                plain.encode_images(batch.contiguous())

    precision = str(encoder.precision).removeprefix("torch.")
    candidates: dict[str, tuple[int, Callable[[], object]]] = {
        f"images, serving path ({precision})": (
            len(pixels),
            lambda: encoder.embed_pixels(pixels),
        ),
        "images, modules as trained (float32)": (len(pixels), as_trained),
        "texts of eleven words": (len(sentences), lambda: encoder.embed_texts(sentences)),
        "one text at a time": (1, lambda: encoder.embed_texts(sentences[:1])),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(options.repeats + 1):
        for name, (_, work) in candidates.items():
            start = time.perf_counter()
            work()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    rows: list[dict[str, Any]] = [
        {
            "what": name,
            "a second, median": count / statistics.median(seconds[name]),
            "slowest": count / max(seconds[name]),
            "fastest": count / min(seconds[name]),
        }
        for name, (count, _) in candidates.items()
    ]
    publish("encoder", rows, threads=torch.get_num_threads(), fingerprint=encoder.fingerprint)
    bar_plot("encoder", rows, "what", "a second, median")


if __name__ == "__main__":
    main()
