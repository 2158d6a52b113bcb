"""What is lost by decoding large JPEGs at a reduced scale: pixels, embeddings, retrieval.

    python benchmarks/reduced_decoding.py PAIRS.tsv [--model compact] [--enlarge 5] [--photos 1000]

Each photo of a table of pairs (`image`, `caption`) is enlarged, given a grain of eight grey levels
so that there is fine detail to lose, and saved as a JPEG of quality 90; small photos alone would
never be decoded reduced. The same bytes are then decoded in full and as the service does, fitted
and embedded, and the captions are searched for among both. The model's fit and CLIP's reference fit
("shortest", 224 pixels) are both compared in grey levels.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from report import publish

from model import Encoder, decode, load_encoder
from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing, to_square
from model.training.evaluation import text_to_image
from model.training.pairs import read_pairs

GRAIN = 8
QUALITY = 90
BATCH = 32
CLIP = Preprocessing(224, "shortest", CLIP_MEAN, CLIP_DEVIATION)


@dataclasses.dataclass
class Difference:
    """Grey levels between two sets of squares, summed up as they come."""

    total: float = 0.0
    largest: int = 0
    count: int = 0

    def add(self, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> None:
        """Another pair of squares."""
        gap = np.abs(one.astype(np.int16) - other)
        self.total += float(gap.mean())
        self.largest = max(self.largest, int(gap.max()))
        self.count += 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--enlarge", type=int, default=5)
    parser.add_argument("--photos", type=int, default=1_000)
    options = parser.parse_args()
    encoder = load_encoder(options.model)
    photos = read_pairs(options.pairs)[: options.photos]
    own, clip = Difference(), Difference()
    embedded: dict[str, list[NDArray[np.float32]]] = {"full": [], "reduced": []}
    waiting: dict[str, list[NDArray[np.uint8]]] = {"full": [], "reduced": []}
    for content in enlarged([photo.path for photo in photos], options.enlarge):
        for squares, square in zip(
            waiting.values(), both(encoder, content, own, clip), strict=True
        ):
            squares.append(square)
        if len(waiting["full"]) == BATCH:
            embed(encoder, waiting, embedded)
    embed(encoder, waiting, embedded)
    images = {path: np.concatenate(parts) for path, parts in embedded.items()}
    texts = encoder.embed_texts([text for photo in photos for text in photo.captions]).vectors
    owners = np.repeat(np.arange(len(photos)), [len(photo.captions) for photo in photos])
    rows = []
    for path, vectors in images.items():
        found = text_to_image(vectors, texts, owners)
        rows.append(
            {
                "decoded": path,
                "recall@1": found.recall_at_1,
                "recall@5": found.recall_at_5,
                "recall@10": found.recall_at_10,
            }
        )
    cosines = (images["full"] * images["reduced"]).sum(axis=1)
    publish(
        "reduced_decoding",
        rows,
        photos=len(photos),
        enlarged=options.enlarge,
        model=encoder.name,
        cosine={"mean": float(cosines.mean()), "least": float(cosines.min())},
        grey_levels={
            "model's fit": {"mean": own.total / own.count, "largest": own.largest},
            "CLIP's fit": {"mean": clip.total / clip.count, "largest": clip.largest},
        },
    )
    print(f"cosine: mean {cosines.mean():.5f}, least {cosines.min():.5f}")
    for name, gap in (("the model's fit", own), ("CLIP's fit", clip)):
        print(f"grey levels in {name}: mean {gap.total / gap.count:.3f}, largest {gap.largest}")


def enlarged(paths: list[Path], factor: int) -> Iterator[bytes]:
    """Each photo `factor` times as large, grained, as a JPEG."""
    noise = np.random.default_rng(7)
    for path in paths:
        photo = Image.open(path).convert("RGB")
        size = (photo.width * factor, photo.height * factor)
        pixels = np.asarray(photo.resize(size, Image.Resampling.LANCZOS)).astype(np.float32)
        pixels += noise.normal(0, GRAIN, pixels.shape[:2]).astype(np.float32)[:, :, None]
        buffer = BytesIO()
        grained = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        grained.save(buffer, "JPEG", quality=QUALITY)
        yield buffer.getvalue()


def both(
    encoder: Encoder, content: bytes, own: Difference, clip: Difference
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The model's input of the full and of the reduced picture; their differences are added."""
    full = decode(content)
    reduced = decode(content, shorter_side=encoder.image_size)
    assert reduced.rgb.width < full.rgb.width, "the photo is too small to be decoded reduced"
    squares = encoder.prepare(full), encoder.prepare(reduced)
    own.add(*squares)
    clip.add(
        to_square(full.rgb, CLIP),
        to_square(decode(content, shorter_side=CLIP.image_size).rgb, CLIP),
    )
    return squares


def embed(
    encoder: Encoder,
    waiting: dict[str, list[NDArray[np.uint8]]],
    embedded: dict[str, list[NDArray[np.float32]]],
) -> None:
    """Move what waits to what is embedded."""
    for path, squares in waiting.items():
        if squares:
            embedded[path].append(encoder.embed_pixels(squares))
        squares.clear()


if __name__ == "__main__":
    main()
