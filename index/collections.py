"""Collections as their owner sees them: made, set up, renamed, and deleted with care."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from index import cursors
from index.errors import CollectionNotEmpty, Conflict, CursorError, TextRejected
from index.indexer import Indexer
from index.store import changes, collections, images
from index.store.collections import Collection, CollectionSettings
from index.store.database import Database
from index.store.schema import ImageRow
from index.uploads import (
    CAPTION_CHARACTERS,
    COLLECTION_CHARACTERS,
    clean_collection,
    clean_text,
)

# Each is a commit and a moment in which nobody else writes.
IMAGES_PER_DELETION = 200
# How often a rename begins anew because an image came into the collection in the wrong moment.
RENAMES_TRIED = 50


@dataclass(frozen=True, slots=True)
class CollectionPage:
    """One page of collections, by name; `total` counts all pages."""

    collections: list[Collection]
    next_cursor: str | None
    total: int


class Collections:
    """Reads and changes collections. Thread-safe; calls block for the database.

    A collection comes into being with its first image too, with default settings.
    """

    def __init__(self, database: Database, indexer: Indexer) -> None:
        self._database = database
        self._indexer = indexer

    def page(self, *, limit: int, cursor: str | None = None) -> CollectionPage:
        """A page of all collections. Raises CursorError, DatabaseUnavailable."""
        after = None if cursor is None else _name_in(cursor)
        with self._database.reading() as session:
            found = collections.page(session, after=after, limit=limit + 1)
            total = collections.count(session)
        shown = found[:limit]
        next_cursor = cursors.pack({"n": shown[-1].name}) if len(found) > limit else None
        return CollectionPage(shown, next_cursor, total)

    def get(self, name: str) -> Collection:
        """The collection of this name. Raises NotFound, DatabaseUnavailable."""
        with self._database.reading() as session:
            return collections.get(session, as_stored(name))

    def put(self, name: str, settings: CollectionSettings) -> tuple[Collection, bool]:
        """The collection with just these settings, and whether this made it.

        Raises TextRejected, DatabaseUnavailable.
        """
        stored, cleaned = clean_collection(name, "/name"), _cleaned(settings)
        with self._database.writing() as session:
            changes.take_lock(session)
            is_new = collections.put(session, stored, cleaned)
            return collections.get(session, stored), is_new

    def change(
        self,
        name: str,
        change: Callable[[CollectionSettings], CollectionSettings],
        *,
        new_name: str | None = None,
    ) -> Collection:
        """The collection with what `change` makes of its settings, and under another name if given.

        An upload under the old name that is in hand makes a collection of that name again.

        Raises NotFound, TextRejected, Conflict when the new name is taken or images never cease to
        come, DatabaseUnavailable.
        """
        stored = as_stored(name)
        wanted = stored if new_name is None else clean_collection(new_name, "/name")
        for _ in range(RENAMES_TRIED):
            with self._database.writing() as session:
                if not _is_locked(session, stored, with_images=wanted != stored):
                    continue
                present = collections.get(session, stored)
                if wanted != stored:
                    if collections.settings_of(session, [wanted]):
                        raise Conflict(f"There is a collection named {wanted!r} already.")
                    collections.rename(session, stored, wanted)
                collections.put(session, wanted, _cleaned(change(present.settings)))
                return collections.get(session, wanted)
        raise Conflict(f"Images come into {stored!r} all the time; rename it when they do not.")

    def delete(self, name: str, *, with_images: bool = False) -> int:
        """Remove a collection; gives how many images went with it.

        With images only if that is asked for, and then just those that were there at the start: if
        others came meanwhile, they and the collection stay. Interrupted, it has deleted a part of
        them, and goes on when it is asked again.

        Raises NotFound, CollectionNotEmpty, StorageError, DatabaseUnavailable.
        """
        stored = as_stored(name)
        among = ImageRow.collection == stored
        with self._database.reading() as session:
            present = collections.get(session, stored)
            if present.images and not with_images:
                raise CollectionNotEmpty(stored, present.images)
            numbers = images.numbers(session, among)
        deleted = 0
        for start in range(0, len(numbers), IMAGES_PER_DELETION):
            deleted += self._indexer.delete_many(
                numbers[start : start + IMAGES_PER_DELETION], where=among
            )
        with self._database.writing() as session:
            changes.take_lock(session)
            left = images.count(session, among)
            if left:
                raise CollectionNotEmpty(stored, left)
            collections.delete(session, stored)
        return deleted


def _is_locked(session: Session, name: str, *, with_images: bool) -> bool:
    """Take the log's lock, after those of the collection's images; whether none came between.

    Deleting locks an image and then the log: in the other order two would wait for each other, and
    so would who holds the log and changes an image that was not locked before.
    """
    among = ImageRow.collection == name
    locked = images.lock(session, among) if with_images else 0
    changes.take_lock(session)
    return not with_images or images.count(session, among) == locked


def as_stored(name: str) -> str:
    """A name as it would be stored, if it could be."""
    return unicodedata.normalize("NFC", name).strip()


def _name_in(cursor: str) -> str:
    name: str = cursors.unpack(cursor, {"n": str})["n"]
    try:
        return clean_text(name, "", max_characters=COLLECTION_CHARACTERS)
    except TextRejected as error:
        raise CursorError("it is not one of ours") from error


def _cleaned(settings: CollectionSettings) -> CollectionSettings:
    if settings.description is None:
        return settings
    text = clean_text(settings.description, "/description", max_characters=CAPTION_CHARACTERS)
    return replace(settings, description=text.strip() or None)
