"""Bytes in, searchable image out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from index.arrivals import Added, Arrival, Arrivals
from index.blobs import THUMBNAIL_SIZE, BlobStore
from index.encoders import Encoders
from index.errors import CollectionClosed
from index.filters import Condition
from index.live_index import LiveIndex
from index.pictures import PictureReader
from index.store import changes, collections, images, model_versions
from index.store.database import Database
from index.store.images import ImageRecord, NewImage
from index.unused_files import discard_unused
from index.uploads import Upload, Words, clean_collection, printable_name
from model import EmbeddingQueue, Picture, perceptual_hash, thumbnail


class Indexer:
    """Adds, changes and removes images. Thread-safe; every call blocks until it is durable."""

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
        self._arrivals = Arrivals(database, blobs, live)

    def add(self, upload: Upload, *, wait_seconds: float = 0) -> Added:
        """The image of these bytes, stored, committed and searchable when this returns.

        The same bytes in the same collection are the same image, whatever words come with them.
        The uploaded file is gone afterwards, whether it was kept or refused. A model that has all
        it can take is waited for up to `wait_seconds`.

        Raises ImageError, TextRejected, CollectionClosed, EmbeddingRejected, QueueFull,
        StorageError, DatabaseUnavailable.
        """
        try:
            return self._add(upload, wait_seconds)
        finally:
            upload.path.unlink(missing_ok=True)

    def update(self, image_id: str, change: Callable[[ImageRecord], Words]) -> ImageRecord:
        """The image with what `change` makes of its owner's words, in one transaction.

        Raises NotFound, TextRejected, DatabaseUnavailable.
        """
        with self._database.writing() as session:
            words = change(images.get_to_change(session, image_id)).cleaned()
            return images.update(
                session,
                image_id,
                tags=words.tags,
                caption=words.caption,
                metadata=dict(words.metadata),
            )

    def delete(self, image_id: str) -> None:
        """Remove an image: it is found no more when this returns, here and after a crash.

        Raises NotFound, DatabaseUnavailable.
        """
        with self._database.writing() as session:
            record = images.delete(session, image_id)
            changes.append(session, "remove", [record.number])
        self._live.catch_up()
        discard_unused(self._database, self._blobs, record.sha256)

    def delete_many(self, numbers: Sequence[int], *, where: Condition) -> int:
        """Remove those of these images that `where` keeps, as `delete`, in one transaction.

        Gives how many there were. Raises StorageError, DatabaseUnavailable.
        """
        with self._database.writing() as session:
            digests = images.delete_many(session, numbers, where)
            if digests:
                changes.append(session, "remove", list(digests))
        self._live.catch_up()
        for sha256 in sorted(set(digests.values())):
            discard_unused(self._database, self._blobs, sha256)
        return len(digests)

    def close(self) -> None:
        """Commit what is under way and end."""
        self._arrivals.close()

    def _add(self, upload: Upload, wait_seconds: float) -> Added:
        words = upload.words.cleaned()
        collection = clean_collection(upload.collection)
        with self._database.reading() as session:
            known = images.find_same(session, collection, upload.sha256)
            is_closed = known is None and collections.is_closed(session, collection)
        if is_closed:
            raise CollectionClosed(collection)
        if known is not None and self._blobs.has(upload.sha256):
            return Added(known, is_new=False)
        vectors: dict[str, NDArray[np.float32]] = {}
        while True:
            queues = {key: q for key, q in self._queues().items() if key not in vectors}
            # At least twice the shorter side is decoded: half a thumbnail's size is enough for it.
            sides = [THUMBNAIL_SIZE // 2, *(q.encoder.image_size for q in queues.values())]
            with self._pictures.opened(upload.path, shorter_side=max(sides)) as picture:
                small = thumbnail(picture, THUMBNAIL_SIZE)
                looks = perceptual_hash(picture)
                image = _new_image(upload, picture, collection, words)
                pixels = {queue: queue.encoder.prepare(picture) for queue in set(queues.values())}
            vectors |= _embed(queues, pixels, wait_seconds)
            added = self._arrivals.commit(Arrival(image, upload.path, small, looks, vectors))
            if added is not None:
                return added
            # A version came or was promoted meanwhile: embed for it too, then try again.

    def _queues(self) -> dict[str, EmbeddingQueue]:
        """The encoders that a new image needs: the live version's, and those being built."""
        with self._database.reading() as session:
            versions = model_versions.embedding(session)
        return {version.id: self._encoders.of(version) for version in versions}


def _new_image(upload: Upload, picture: Picture, collection: str, words: Words) -> NewImage:
    return NewImage(
        sha256=upload.sha256,
        collection=collection,
        filename=printable_name(upload.filename),
        format=picture.format,
        media_type=picture.media_type,
        width=picture.width,
        height=picture.height,
        size_bytes=upload.size_bytes,
        taken_at=picture.taken_at,
        tags=words.tags,
        caption=words.caption,
        metadata=dict(words.metadata),
    )


def _embed(
    queues: Mapping[str, EmbeddingQueue],
    pixels: Mapping[EmbeddingQueue, NDArray[np.uint8]],
    wait_seconds: float,
) -> dict[str, NDArray[np.float32]]:
    """The picture's embedding by each version; versions of one encoder share the pass."""
    futures = {
        queue: queue.submit_pixels(prepared, wait_seconds=wait_seconds)
        for queue, prepared in pixels.items()
    }
    return {key: futures[queue].result() for key, queue in queues.items()}
