"""Reading what is stored: one image, pages of images, their files and thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from index import cursors
from index.blobs import THUMBNAIL_SIZE, BlobStore, StoredBytes
from index.filters import Condition
from index.pictures import PictureReader
from index.store import images
from index.store.database import Database
from index.store.images import ImageRecord
from index.unused_files import discard_unused
from model import thumbnail

# A few sizes, so that nobody can fill the disk with one thumbnail for every number.
THUMBNAIL_SIZES = (160, THUMBNAIL_SIZE, 640, 1280, 2560)


@dataclass(frozen=True, slots=True)
class ImagePage:
    """One page of images, newest first; `total` counts all pages."""

    images: list[ImageRecord]
    next_cursor: str | None
    total: int


class Library:
    """Reads images. Thread-safe; calls block for the database and the disk."""

    def __init__(self, database: Database, blobs: BlobStore, pictures: PictureReader) -> None:
        self._database = database
        self._blobs = blobs
        self._pictures = pictures

    def get(self, image_id: str) -> ImageRecord:
        """The image with this id. Raises NotFound, DatabaseUnavailable."""
        with self._database.reading() as session:
            return images.get(session, image_id)

    def page(self, *, limit: int, cursor: str | None, where: Condition | None) -> ImagePage:
        """A page of the images that `where` keeps. Raises CursorError, DatabaseUnavailable."""
        before_number = None if cursor is None else cursors.unpack_number(cursor)
        with self._database.reading() as session:
            found = images.page(session, where=where, before_number=before_number, limit=limit + 1)
            total = images.count(session, where)
        shown = found[:limit]
        next_cursor = cursors.pack({"n": shown[-1].number}) if len(found) > limit else None
        return ImagePage(shown, next_cursor, total)

    def count(self) -> int:
        """How many images are stored. Raises DatabaseUnavailable."""
        with self._database.reading() as session:
            return images.count(session)

    def file(self, image: ImageRecord) -> Path:
        """The stored bytes as a file. Raises MissingFile, StorageError."""
        return self._blobs.open_path(image.sha256)

    def stored(self, image: ImageRecord) -> StoredBytes:
        """The stored bytes as they lie. Raises MissingFile, StorageError."""
        return self._blobs.stored(image.sha256)

    def thumbnail(self, image: ImageRecord, size: int) -> Path:
        """A WebP whose longest side is `size` or the next kept size above, made when missing.

        Raises MissingFile, ImageError, StorageError.
        """
        kept = next((kept for kept in THUMBNAIL_SIZES if kept >= size), THUMBNAIL_SIZES[-1])
        path = self._blobs.thumbnail_path(image.sha256, kept)
        if path.is_file():
            return path
        with (
            self._blobs.fetched(image.sha256) as source,
            self._pictures.opened(source, shorter_side=kept // 2) as picture,
        ):
            small = thumbnail(picture, kept)
        return self._blobs.keep_thumbnail(small, image.sha256, kept)

    def sweep(self, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Remove files that no image needs and that are older than an hour; gives how many.

        Raises StorageError, DatabaseUnavailable.
        """

        def used(digests: list[str]) -> set[str]:
            with self._database.reading() as session:
                return images.digests_used(session, digests)

        removed = self._blobs.sweep_incoming()
        for sha256 in self._blobs.strays(used):
            if should_stop():
                break
            removed += discard_unused(self._database, self._blobs, sha256)
        return removed
