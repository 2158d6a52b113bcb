"""How long each model takes until it embeds, and the memory that it then holds.

    python benchmarks/loading.py [--models compact ViT-B-32 RN50 …]

Each is loaded in a process of its own, which has imported everything before the clock starts: from
the program's own file (CLIP's architectures with random weights, in float32) to an encoder, and
then to the first embedding of a text and of a picture. Resident memory is what the process holds
more than before it loaded; `texts only` is the same with the text tower alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from report import publish

MODELS = ("compact", "ViT-B-32", "ViT-B-16", "ViT-L-14", "RN50", "RN101", "RN50x4", "RN50x16")

LOADING = """
import json, os, sys, time
import numpy as np
import psutil
from model import load_encoder
from model.serving import serving_precision

serving_precision()
process = psutil.Process()
before = process.memory_info().rss
began = time.perf_counter()
encoder = load_encoder(sys.argv[1], texts_only=sys.argv[2] == "texts only")
loaded = time.perf_counter()
encoder.embed_texts(["a photo of a dog"])
first_text = time.perf_counter()
if sys.argv[2] == "whole":
    side = encoder.image_size
    encoder.embed_pixels([np.zeros((side, side, 3), dtype=np.uint8)])
first = time.perf_counter()
print(json.dumps({
    "ready, s": loaded - began,
    "first text after, ms": 1e3 * (first_text - loaded),
    "first picture after, ms": 1e3 * (first - first_text),
    "resident MB": (process.memory_info().rss - before) / 1e6,
}))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            path = "compact" if name == "compact" else _random(name, Path(folder))
            for part in ("whole", "texts only"):
                # The first run fills the system's cache of the file.
                for _ in range(2):
                    answer = subprocess.run(
                        [sys.executable, "-c", LOADING, path, part],
                        capture_output=True,
                        text=True,
                        check=True,
                    )
                rows.append(
                    {"model": name, "part": part, **json.loads(answer.stdout.splitlines()[-1])}
                )
            if name != "compact":
                Path(path).unlink()
    publish("loading", rows)


def _random(name: str, folder: Path) -> str:
    from model.byte_pairs import clip_tokenizer
    from model.checkpoints import Checkpoint, write_checkpoint
    from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing
    from model.zoo import CLIP_ARCHITECTURES

    architecture = CLIP_ARCHITECTURES[name]
    path = folder / f"{name}.safetensors"
    write_checkpoint(
        Checkpoint(
            name,
            architecture,
            Preprocessing(architecture.image.image_size, "shortest", CLIP_MEAN, CLIP_DEVIATION),
            clip_tokenizer(),
            architecture.build().state_dict(),
        ),
        path,
    )
    return str(path)


if __name__ == "__main__":
    main()
