"""Do rows, files, embeddings and index agree? Each disagreement is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from index.blobs import BlobStore, digest
from index.errors import StorageError
from index.live_index import Generation, LiveIndex
from index.store import embeddings, images
from index.store.database import Database
from index.store.images import ImageRecord

ROWS_PER_READ = 500

Kind = Literal[
    "file missing", "file damaged", "not embedded", "not in the index", "only in the index"
]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One image of which two of the four say different things."""

    kind: Kind
    image_number: int
    image_id: str | None
    filename: str | None


class Verifier:
    """Compares what should be the same. Reads every stored byte, and writes nothing."""

    def __init__(self, database: Database, blobs: BlobStore, live: LiveIndex) -> None:
        self._database = database
        self._blobs = blobs
        self._live = live

    def run(self, report: Callable[[int, int], None] = lambda *_: None) -> list[Disagreement]:
        """Every disagreement, newest image first; `report` gets images done and in all.

        Images that come or go meanwhile are not counted as disagreements.

        Raises DatabaseUnavailable.
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
                vectors = embeddings.get_many(
                    session, generation.version.id, [image.number for image in page]
                )
            if not page:
                break
            before = page[-1].number
            for image in page:
                seen.add(image.number)
                kinds: list[Kind | None] = [
                    self._file_fault(image),
                    None if image.number in vectors else "not embedded",
                    None if image.number in indexed else "not in the index",
                ]
                found += [
                    Disagreement(kind, image.number, image.id, image.filename)
                    for kind in kinds
                    if kind
                ]
            report(len(seen), max(total, len(seen)))
        found += [
            Disagreement("only in the index", number, None, None)
            for number in sorted(indexed - seen)
        ]
        return [one for one in found if self._is_still_so(one, generation)]

    def _file_fault(self, image: ImageRecord) -> Kind | None:
        try:
            path = self._blobs.open_path(image.sha256)
            return None if digest(path) == image.sha256 else "file damaged"
        except StorageError:
            return "file missing"

    def _is_still_so(self, one: Disagreement, generation: Generation) -> bool:
        """Whether it is more than an image that came or went while this ran."""
        self._live.catch_up()
        is_indexed = one.image_number in generation.vectors
        if one.kind == "only in the index":
            return is_indexed
        with self._database.reading() as session:
            is_stored = bool(images.by_number(session, [one.image_number]))
        return is_stored and not (one.kind == "not in the index" and is_indexed)
