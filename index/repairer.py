"""Making rows, files, embeddings and index agree again, where that can be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from index.blobs import BlobStore
from index.encoders import Encoders
from index.errors import EmbeddingRejected, StorageError
from index.live_index import LiveIndex
from index.pictures import PictureReader
from index.store import changes, embeddings, images
from index.store.database import Database
from index.unused_files import discard_unused
from index.verifier import Disagreement
from model import ImageError

# For the model: nobody waits for a repair, and it gives way to all who do.
PATIENCE_SECONDS = 600
ADVICE = {
    "file missing": "upload the same picture again",
    "file unreadable": "look at the disk or the object store",
}


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of one disagreement, in a sentence."""

    disagreement: Disagreement
    is_done: bool
    outcome: str


class Repairer:
    """Repairs what derives from something that is still there; never removes an image.

    Rows are right where an index is wrong, and files are right where an embedding is missing. An
    image whose bytes are gone stays, found by its embedding, until it is uploaded again.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        encoders: Encoders,
        live: LiveIndex,
        pictures: PictureReader,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._encoders = encoders
        self._live = live
        self._pictures = pictures

    def run(
        self,
        disagreements: Iterable[Disagreement],
        report: Callable[[int], None] = lambda _: None,
    ) -> list[Repair]:
        """What became of each, in the order given; `report` gets how many are done.

        Raises DatabaseUnavailable.
        """
        repairs = []
        for one in disagreements:
            repairs.append(self._repair(one))
            report(len(repairs))
        self._live.catch_up()
        return repairs

    def _repair(self, one: Disagreement) -> Repair:
        match one.kind:
            case "file missing" | "file unreadable":
                return Repair(one, is_done=False, outcome=ADVICE[one.kind])
            case "file damaged":
                return self._set_aside(one)
            case "file of no image":
                return self._remove_stray(one)
            case "not embedded":
                return self._embed(one)
            case "only in the index":
                self._tell(one, "remove")
                return Repair(one, is_done=True, outcome="removed from the index")
            case "not in the index" | "other vector in the index":
                self._tell(one, "add")
                return Repair(one, is_done=True, outcome="put into the index")

    def _set_aside(self, one: Disagreement) -> Repair:
        assert one.sha256 is not None, "a file has a digest"
        try:
            self._blobs.set_aside(one.sha256)
        except StorageError as error:
            return Repair(one, is_done=False, outcome=error.reason)
        # Out of the way, so that an upload of the same picture is not taken for a known one.
        return Repair(
            one, is_done=False, outcome="moved into `damaged`; upload the same picture again"
        )

    def _remove_stray(self, one: Disagreement) -> Repair:
        assert one.sha256 is not None, "a file has a digest"
        try:
            was_removed = discard_unused(self._database, self._blobs, one.sha256)
        except StorageError as error:
            return Repair(one, is_done=False, outcome=error.reason)
        outcome = "removed" if was_removed else "an image needs it by now"
        return Repair(one, is_done=True, outcome=outcome)

    def _embed(self, one: Disagreement) -> Repair:
        assert one.sha256 is not None, "an image has a digest"
        assert one.image_number is not None, "an image has a number"
        version = self._live.generation.version
        queue = self._encoders.of(version)
        try:
            with self._blobs.fetched(one.sha256) as path:
                pixels = self._pictures.pixels(path, queue.encoder)
            vector = queue.submit_pixels(pixels, wait_seconds=PATIENCE_SECONDS).result()
            with self._database.writing() as session:
                for number in images.hold(session, [one.image_number]):
                    embeddings.put(session, version.id, {number: vector})
                    changes.append(session, "add", [number])
        except (ImageError, EmbeddingRejected) as error:
            return Repair(one, is_done=False, outcome=str(error))
        except StorageError as error:
            return Repair(one, is_done=False, outcome=error.reason)
        return Repair(one, is_done=True, outcome="embedded again")

    def _tell(self, one: Disagreement, kind: changes.ChangeKind) -> None:
        """Let every process's index apply the change once more."""
        with self._database.writing() as session:
            changes.append(session, kind, [one.image_number])
