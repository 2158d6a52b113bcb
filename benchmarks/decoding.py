"""From the bytes of a large JPEG to the model's input: ours against a full Pillow decode.

    python benchmarks/decoding.py --photo JPEG [--megapixels 12] [--repeats 15]

The photo is enlarged to that size and saved as a camera would, quality 90. Compared, interleaved,
on one thread: `decode` and `Encoder.prepare`, which decode at the reduced scale that JPEG allows,
with Pillow's full decode, bicubic resize of the shorter side, and middle crop. Both end as float32
tensor. Median after one round of warm-up, and the mean difference of the pixels in grey levels.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from report import publish

from model import decode
from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing, to_square, to_tensor

SIZE = 224


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    photo = enlarged(options.photo, options.megapixels)
    preprocessing = Preprocessing(SIZE, "shortest", CLIP_MEAN, CLIP_DEVIATION)

    def ours() -> NDArray[np.uint8]:
        return to_square(decode(photo, shorter_side=SIZE).rgb, preprocessing)

    def pillow() -> NDArray[np.uint8]:
        return to_square(Image.open(io.BytesIO(photo)).convert("RGB"), preprocessing)

    candidates = {"ours": ours, "Pillow, full decode": pillow}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(options.repeats + 1):
        for name, square in candidates.items():
            began = time.perf_counter()
            to_tensor([square()], preprocessing)
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    slowest = statistics.median(seconds["Pillow, full decode"])
    rows = [
        {
            "how": name,
            "ms, median": 1e3 * statistics.median(taken),
            "ms, least": 1e3 * min(taken),
            "times Pillow": slowest / statistics.median(taken),
        }
        for name, taken in seconds.items()
    ]
    difference = float(np.abs(ours().astype(float) - pillow().astype(float)).mean())
    publish("decoding", rows, megapixels=options.megapixels, mean_grey_levels_apart=difference)
    print(f"mean difference {difference:.2f} grey levels")


def enlarged(photo: Path, megapixels: float) -> bytes:
    """The photo as a JPEG of about so many megapixels."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    large = image.resize((round(image.width * scale), round(image.height * scale)))
    file = io.BytesIO()
    large.save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    main()
