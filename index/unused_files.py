"""Removing a file that no image needs, and no upload is about to."""

from __future__ import annotations

from index.blobs import BlobStore
from index.store import changes, images
from index.store.database import Database


def discard_unused(database: Database, blobs: BlobStore, sha256: str) -> bool:
    """Remove the file unless an image needs it; gives whether it was removed.

    Under the log's lock, since an upload of the same bytes puts its file in place under it too:
    between the question and the removal nobody can begin to need the file.

    Raises StorageError, DatabaseUnavailable.
    """
    with database.writing() as session:
        changes.take_lock(session)
        if images.is_digest_used(session, sha256):
            return False
        blobs.discard(sha256)
        return True
