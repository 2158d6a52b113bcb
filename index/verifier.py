"""Do rows, files, embeddings and index agree? Each disagreement is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from index.blobs import BlobStore, digest
from index.errors import MissingFile, StorageError
from index.live_index import Generation, LiveIndex
from index.store import embeddings, images
from index.store.database import Database
from index.store.images import ImageRecord

ROWS_PER_READ = 500
# Vectors are stored as float16, so equal ones differ by no more.
ROUNDING = 2e-3

Kind = Literal[
    "file missing",
    "file damaged",
    "file unreadable",
    "file of no image",
    "not embedded",
    "not in the index",
    "other vector in the index",
    "only in the index",
]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing of which two of the four say different things.

    A file of no image has its digest alone, and an image that is only in the index its number.
    """

    kind: Kind
    image_number: int | None = None
    image_id: str | None = None
    filename: str | None = None
    sha256: str | None = None


class Verifier:
    """Compares what should be the same. Reads every stored byte, and writes nothing."""

    def __init__(self, database: Database, blobs: BlobStore, live: LiveIndex) -> None:
        self._database = database
        self._blobs = blobs
        self._live = live

    def run(self, report: Callable[[int, int], None] = lambda *_: None) -> list[Disagreement]:
        """Every disagreement, newest image first; `report` gets images done and in all.

        Images that come or go meanwhile are not counted as disagreements, nor are files younger
        than an hour that may be of an upload under way.

        Raises DatabaseUnavailable, StorageError.
        """
        self._live.catch_up()
        generation = self._live.generation
        indexed = set(generation.vectors.contents()[0].tolist())
        found: list[Disagreement] = []
        seen: set[int] = set()
        before: int | None = None
        with self._database.reading() as session:
            total = images.count(session)
        while True:
            with self._database.reading() as session:
                page = images.page(session, before_number=before, limit=ROWS_PER_READ)
            if not page:
                break
            before = page[-1].number
            faulty = self._vector_faults(page, generation, indexed)
            for image in page:
                seen.add(image.number)
                kinds = [self._file_fault(image), faulty.get(image.number)]
                found += [_disagreement(kind, image) for kind in kinds if kind]
            report(len(seen), max(total, len(seen)))
        found += [Disagreement("only in the index", number) for number in sorted(indexed - seen)]
        found += [Disagreement("file of no image", sha256=name) for name in self._strays()]
        return [one for one in found if self._is_still_so(one, generation)]

    def _file_fault(self, image: ImageRecord) -> Kind | None:
        try:
            with self._blobs.fetched(image.sha256) as path:
                return None if digest(path) == image.sha256 else "file damaged"
        except MissingFile:
            return "file missing"
        except StorageError:
            return "file unreadable"

    def _vector_faults(
        self, page: list[ImageRecord], generation: Generation, indexed: set[int]
    ) -> dict[int, Kind]:
        numbers = [image.number for image in page]
        with self._database.reading() as session:
            stored = embeddings.get_many(session, generation.version.id, numbers)
        faults: dict[int, Kind] = dict.fromkeys(set(numbers) - set(stored), "not embedded")
        faults |= dict.fromkeys(set(stored) - indexed, "not in the index")
        # Only those that are there still: an image may have been deleted since.
        both = [number for number in stored if number in generation.vectors]
        if both:
            held = generation.vectors.vectors(np.array(both, dtype=np.int64))
            for number, vector in zip(both, held, strict=True):
                if np.abs(vector - stored[number]).max() > ROUNDING:
                    faults[number] = "other vector in the index"
        return faults

    def _strays(self) -> list[str]:
        def used(digests: list[str]) -> set[str]:
            with self._database.reading() as session:
                return images.digests_used(session, digests)

        return list(self._blobs.strays(used))

    def _is_still_so(self, one: Disagreement, generation: Generation) -> bool:
        """Whether it is more than an image that came or went while this ran."""
        self._live.catch_up()
        with self._database.reading() as session:
            if one.sha256 is not None and one.image_number is None:
                return not images.is_digest_used(session, one.sha256)
            assert one.image_number is not None, "only a file can be of no image"
            is_stored = bool(images.by_number(session, [one.image_number]))
        is_indexed = one.image_number in generation.vectors
        if one.kind == "only in the index":
            return is_indexed and not is_stored
        return is_stored and not (one.kind == "not in the index" and is_indexed)


def _disagreement(kind: Kind, image: ImageRecord) -> Disagreement:
    return Disagreement(kind, image.number, image.id, image.filename, image.sha256)
