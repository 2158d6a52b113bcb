"""A zip file among the files of a batch: each of its pictures is an item of the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

import anyio

from app.api import schemas
from app.api.dependencies import Lane
from app.api.forms import ReceivedFile
from app.services import Services
from index import Added, Archive, ArchiveError, RetrievalError, Words
from model import ModelError

ENTRIES_ALLOWED = 10_000
ENTRIES_AT_ONCE = 64
# For the model, which other uploads keep busy too.
PATIENCE_SECONDS = 60

Result = TypeVar("Result")
Item = Callable[[str, Added | Exception], schemas.BatchItemOut]


async def entries_added(
    file: ReceivedFile, words: tuple[Words, str], services: Services, lane: Lane, item: Item
) -> list[schemas.BatchItemOut]:
    """What became of each entry: the refused ones first, then the pictures in their order.

    A picture remembers its place in the archive as `metadata.path`, unless the words say another.
    `item` makes the answer of one; the file itself is an item when it is no zip file after all.
    Raises DatabaseUnavailable, StorageFull.
    """
    try:
        archive = await lane.run_inside(Archive, file.path)
    except ArchiveError as error:
        return [item(file.filename, error)]
    with archive:
        items = [
            item(entry.name, ArchiveError(entry.reason))
            for entry in islice(archive.refused, ENTRIES_ALLOWED)
        ]

        def add(name: str) -> Added | Exception:
            given, collection = words
            metadata = {"path": name, **given.metadata}
            try:
                upload = archive.copy_out(
                    name,
                    services.blobs,
                    max_bytes=services.settings.max_bytes,
                    collection=collection,
                )
                wanted = dataclasses.replace(given, metadata=metadata)
                return services.indexer.add(
                    dataclasses.replace(upload, words=wanted), wait_seconds=PATIENCE_SECONDS
                )
            except (RetrievalError, ModelError) as error:
                return error

        names = archive.names
        for start in range(0, min(len(names), ENTRIES_ALLOWED), ENTRIES_AT_ONCE):
            chunk = names[start : min(start + ENTRIES_AT_ONCE, ENTRIES_ALLOWED)]
            outcomes: dict[str, Added | Exception] = {}

            async def one(name: str, into: dict[str, Added | Exception]) -> None:
                into[name] = await lane.run_inside(add, name)

            async with anyio.create_task_group() as group:
                for name in chunk:
                    group.start_soon(one, name, outcomes)
            items += [item(name, outcomes[name]) for name in chunk]
        if len(names) > ENTRIES_ALLOWED:
            reason = f"only its first {ENTRIES_ALLOWED:,} pictures were taken"
            items.append(item(file.filename, ArchiveError(reason)))
    return items
