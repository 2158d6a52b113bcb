"""What images look like, kept as fingerprints: for those that came before it was asked for, too."""

from __future__ import annotations

from collections.abc import Sequence

from index.blobs import BlobStore
from index.errors import StorageError
from index.pictures import PictureReader
from index.store import images, picture_hashes
from index.store.database import Database
from model import ImageError, perceptual_hash

IMAGES_PER_WRITE = 256
# A fingerprint looks at 64 squares each way; twice that is enough to average.
SHORTER_SIDE = 128


class PictureHashes:
    """The fingerprints of stored images. Thread-safe; calls block for the database and the disk."""

    def __init__(self, database: Database, blobs: BlobStore, pictures: PictureReader) -> None:
        self._database = database
        self._blobs = blobs
        self._pictures = pictures

    def complete(self, numbers: Sequence[int]) -> None:
        """Make the fingerprints that are missing among `numbers`.

        An image whose file is gone or damaged stays without one. Raises DatabaseUnavailable.
        """
        with self._database.reading() as session:
            missing = picture_hashes.missing(session, numbers)
        for start in range(0, len(missing), IMAGES_PER_WRITE):
            made: dict[int, bytes] = {}
            for number, sha256 in missing[start : start + IMAGES_PER_WRITE]:
                try:
                    with (
                        self._blobs.fetched(sha256) as source,
                        self._pictures.opened(source, shorter_side=SHORTER_SIDE) as picture,
                    ):
                        made[number] = perceptual_hash(picture)
                except (ImageError, StorageError):
                    continue
            with self._database.writing() as session:
                present = images.hold(session, list(made))
                picture_hashes.put(session, {number: made[number] for number in present})
