"""Vectors for `benchmarks/vector_index.py`: real embeddings, and as many more like them as wanted.

A new vector is a real image's vector moved within the space that its nearest neighbours span:

    unit(x + h * sum_j w_j (x_j - x)),   x_j the n nearest images of x, w_j ~ N(0, 1 / n), n = 24

so it stays on the surface that images lie on, with its spectrum and its dense and empty places. h
is found by bisection: with it, as many new vectors as there are real ones lie as far from their
tenth nearest neighbour as the real ones do. Uniform noise has no neighbours to find; small h gives
tight clusters, in which any index is fast. Texts stay the real ones.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from model import decode, load_encoder

NEIGHBOURS = 24
BLOCK = 100_000
SAMPLE = 2_000
Floats = NDArray[np.float32]


def embedded(data: Path, model: str, cache: Path, most: int) -> tuple[Floats, Floats]:
    """Images (N, D) and texts (M, D) below `data`, in an order that is random and the same."""
    images_file, texts_file = cache / "images.npy", cache / "texts.npy"
    if images_file.exists() and texts_file.exists():
        return np.load(images_file), np.load(texts_file)
    encoder = load_encoder(model)
    paths = np.array(sorted(str(path) for path in data.glob("*/images/*")))
    texts = np.array(sorted(set(captions(data))))
    random = np.random.default_rng(0)
    chosen = [Path(path) for path in random.permutation(paths)[:most]]
    asked = random.permutation(texts)[:4_000].tolist()
    images = [
        encoder.embed_images(
            [decode(path, shorter_side=encoder.image_size) for path in chosen[at : at + 32]]
        )
        for at in range(0, len(chosen), 32)
    ]
    vectors = [encoder.embed_texts(asked[at : at + 64]).vectors for at in range(0, len(asked), 64)]
    cache.mkdir(parents=True, exist_ok=True)
    np.save(images_file, np.concatenate(images))
    np.save(texts_file, np.concatenate(vectors))
    return np.load(images_file), np.load(texts_file)


@dataclass(frozen=True, slots=True)
class Surface:
    """Where new vectors may lie: `images` (N, D), their neighbours `near` (N, n), and h."""

    images: Floats
    near: NDArray[np.int64]
    spread: float

    def made(self, count: int, random: np.random.Generator) -> Floats:
        """`count` new vectors (count, D), in random order."""
        images, near = self.images, self.near
        of_each = np.bincount(random.integers(len(images), size=count), minlength=len(images))
        made = np.empty((count, images.shape[1]), dtype=np.float32)
        places = random.permutation(count)
        scale = self.spread * near.shape[1] ** -0.5
        start = 0
        for anchor in np.flatnonzero(of_each):
            end = start + of_each[anchor]
            weights = random.normal(scale=scale, size=(end - start, near.shape[1]))
            steps = images[near[anchor]] - images[anchor]
            made[places[start:end]] = images[anchor] + weights.astype(np.float32) @ steps
            start = end
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made


def surface(images: Floats, cache: Path) -> Surface:
    """The surface that `images` (N, D) lie on, found once and kept in `cache`."""
    kept = cache / "surface.npz"
    if kept.exists():
        loaded = np.load(kept)
        if len(loaded["near"]) == len(images):
            return Surface(images, loaded["near"], float(loaded["spread"]))
    near = neighbours(images, NEIGHBOURS)
    found = Surface(images, near, fitting_spread(images, near))
    np.savez(kept, near=near, spread=found.spread)
    return found


def extended(on: Surface, count: int, path: Path, seed: int = 0) -> NDArray[np.float16]:
    """`count` vectors like the real ones, as a float16 file that is mapped."""
    if path.exists():
        kept: NDArray[np.float16] = np.load(path, mmap_mode="r")
        if len(kept) == count:
            return kept
    made = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float16, shape=(count, on.images.shape[1])
    )
    random = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        made[start:end] = on.made(end - start, random)
    made.flush()
    again: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return again


def fitting_spread(images: Floats, near: NDArray[np.int64]) -> float:
    """The h with which new vectors are as far from their neighbours as real ones are."""
    wanted = tenth_distance(images)
    low, high = 0.0, 4.0
    for _ in range(7):
        middle = (low + high) / 2
        made = Surface(images, near, middle).made(len(images), np.random.default_rng(1))
        if tenth_distance(made) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def neighbours(vectors: Floats, count: int) -> NDArray[np.int64]:
    """The `count` nearest others of each vector (N, count)."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    _, found = index.search(vectors, count + 1)
    return found[:, 1:]


def tenth_distance(vectors: Floats) -> float:
    """Median cosine distance of a sample of vectors to their tenth nearest other."""
    sample = vectors[:: max(1, len(vectors) // SAMPLE)]
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    products, _ = index.search(sample, 11)
    return float(np.median(1 - products[:, 10]))


def structure_of(vectors: Floats) -> dict[str, float]:
    """What an index feels of a set of vectors, to compare a made set with the real one."""
    spectrum = np.linalg.eigvalsh(np.cov(vectors.T))[::-1]
    shares = np.cumsum(spectrum) / spectrum.sum()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    sample = vectors[:: max(1, len(vectors) // SAMPLE)]
    products, _ = index.search(sample, 21)
    distances = np.sqrt(np.maximum(2 - 2 * products[:, 1:], 1e-9))
    # Levina and Bickel's estimate of the dimension of the surface, over twenty neighbours.
    local = 1 / np.mean(np.log(distances[:, -1:] / distances[:, :-1]), axis=1)
    return {
        "variance in 16 directions": float(shares[15]),
        "variance in 64 directions": float(shares[63]),
        "distance to the 1st": float(np.median(1 - products[:, 1])),
        "distance to the 10th": float(np.median(1 - products[:, 10])),
        "local dimension": float(np.median(local)),
    }


def captions(data: Path) -> list[str]:
    """The captions of every table below `data`, some of them twice."""
    found: list[str] = []
    for table in sorted(data.glob("*/*.tsv")):
        with table.open(encoding="utf-8") as file:
            found += [
                row["caption"] for row in csv.DictReader(file, delimiter="\t") if "caption" in row
            ]
    return found
