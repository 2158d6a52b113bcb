"""The pairs as training takes them: by image, the two sides of the split apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from index.blobs import BlobStore
from index.store.pairs import Pair, Placed


@dataclass(frozen=True, slots=True)
class PairedImage:
    """An image with every text of it, in the order of arrival.

    Images of one `group` look alike and are on the same side. The file may be missing.
    """

    image_number: int
    image_id: str
    sha256: str
    filename: str
    collection: str
    path: Path
    group: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """Images to train on and images to measure by, each in the order of their arrival.

    `data_hash` is a SHA-256 over both: the same pairs have the same, in whatever order they came.
    """

    train: tuple[PairedImage, ...]
    validation: tuple[PairedImage, ...]
    data_hash: str


def training_pairs(
    pairs: Iterable[Pair], groups: dict[int, Placed], blobs: BlobStore
) -> TrainingPairs:
    """The sides of `pairs`, which come image by image; `groups` by image number."""
    sides: dict[str, list[PairedImage]] = {"train": [], "validation": []}
    parts: list[str] = []
    for number, of_image in groupby(pairs, key=lambda pair: pair.image_number):
        together = list(of_image)
        first = together[0]
        texts = tuple(pair.text for pair in together)
        placed = groups.get(number)
        sides[first.side].append(
            PairedImage(
                image_number=number,
                image_id=first.image_id,
                sha256=first.sha256,
                filename=first.filename,
                collection=first.collection,
                path=blobs.path(first.sha256),
                group=number if placed is None else placed.group,
                texts=texts,
            )
        )
        parts.append(json.dumps([first.sha256, first.side, sorted(texts)]))
    data_hash = hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()
    return TrainingPairs(tuple(sides["train"]), tuple(sides["validation"]), data_hash)
