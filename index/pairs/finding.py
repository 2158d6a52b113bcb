"""Which stored image a line of a table means; files of an archive or a folder are added first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from index.archives import Archive
from index.arrivals import Added
from index.blobs import BlobStore
from index.errors import DatabaseUnavailable, RetrievalError, StorageError, StorageFull
from index.importer import IMPORTING_THREADS, PATIENCE_SECONDS
from index.indexer import Indexer
from index.pairs.tables import ImageName, TableLine
from index.store import images
from index.store.database import Database
from index.uploads import DEFAULT_COLLECTION, Upload, Words, copy_in
from model import ImageLimits, ModelError

ID = re.compile(r"[0-9a-f]{16,32}")
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
# What became of each file is remembered, for a picture may have many lines.
REMEMBERED_FILES = 100_000


@dataclass(frozen=True, slots=True)
class PictureSources:
    """Where a line may name files: in an archive, in a folder of it, below allowed folders."""

    archive: Archive | None = None
    # The table's name inside the archive, if it is there.
    table: str | None = None
    roots: tuple[Path, ...] = ()
    collection: str = DEFAULT_COLLECTION


class ImageFinder:
    """Finds and adds the images of one import; not thread-safe, close it when done."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        indexer: Indexer,
        limits: ImageLimits,
        sources: PictureSources,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._indexer = indexer
        self._limits = limits
        self._sources = sources
        self._roots = [root.resolve() for root in sources.roots]
        # The number of the image of each file, or why it was refused.
        self._files: dict[str | Path, int | str] = {}
        self._pool = ThreadPoolExecutor(IMPORTING_THREADS, thread_name_prefix="pairs")
        self.images_added = 0
        self.entries_used: set[str] = set()

    def find(self, lines: Sequence[TableLine]) -> list[int | str]:
        """The image number of each line, or why there is none.

        Raises DatabaseUnavailable and StorageFull, which no other line would survive either.
        """
        names = [name for line in lines for name in line.names]
        ids = {name.value for name in names if ID.fullmatch(name.value)}
        digests = {name.value.lower() for name in names if SHA256.fullmatch(name.value)}
        with self._database.reading() as session:
            known = images.numbers_by_id(session, sorted(ids))
            known |= images.numbers_by_sha256(session, sorted(digests))
        meant = [self._meant(line, known) for line in lines]
        self._add({one for one in meant if isinstance(one, str | Path)})
        return [
            one if isinstance(one, int) else self._files[one] if one is not None else _unknown(line)
            for one, line in zip(meant, lines, strict=True)
        ]

    def close(self) -> None:
        """End the threads; files in hand are finished."""
        self._pool.shutdown(cancel_futures=True)

    def _meant(self, line: TableLine, known: dict[str, int]) -> int | str | Path | None:
        """A number, an entry of the archive, a file, or None: what the first known name says."""
        for name in line.names:
            entry = None if name.kind != "any" else self._entry(name.value)
            if entry is not None:
                return entry
            number = known.get(name.value) or known.get(name.value.lower())
            if number is not None:
                return number
            path = None if name.kind != "any" else self._path(name.value)
            if path is not None:
                return path
        return None

    def _entry(self, name: str) -> str | None:
        archive = self._sources.archive
        if archive is None:
            return None
        inner = (self._sources.table or "").rpartition("/")[0]
        folders = [f"{inner}/images".lstrip("/"), *([inner] if inner else [])]
        return archive.find(name, *folders)

    def _path(self, name: str) -> Path | None:
        """The file below an allowed folder that a line names; links are followed first."""
        for root in self._roots:
            try:
                path = (root / name).resolve(strict=True)
                # Opening a named pipe would wait for its writer for ever.
                is_ours = path.is_file() and any(path.is_relative_to(one) for one in self._roots)
            except (OSError, ValueError, RuntimeError):
                # Too long, with a zero, a loop of links: no file has this name.
                continue
            if is_ours:
                return path
        return None

    def _add(self, files: set[str | Path]) -> None:
        if len(self._files) > REMEMBERED_FILES:
            self._files.clear()
        fresh = sorted((file for file in files if file not in self._files), key=str)
        for file, outcome in zip(fresh, self._pool.map(self._added, fresh), strict=True):
            if isinstance(outcome, str):
                self._files[file] = outcome
            else:
                self._files[file] = outcome.image.number
                self.images_added += outcome.is_new
        self.entries_used.update(file for file in files if isinstance(file, str))

    def _added(self, file: str | Path) -> Added | str:
        try:
            return self._indexer.add(self._upload(file), wait_seconds=PATIENCE_SECONDS)
        except (DatabaseUnavailable, StorageFull):
            raise
        except StorageError as error:
            # Where it lies is the server's business.
            return error.reason
        except (ModelError, RetrievalError) as error:
            return str(error)

    def _upload(self, file: str | Path) -> Upload:
        collection = self._sources.collection
        if isinstance(file, Path):
            return copy_in(
                file,
                self._blobs,
                max_bytes=self._limits.max_bytes,
                filename=file.name,
                collection=collection,
                words=Words(),
            )
        assert self._sources.archive is not None, "an entry has an archive"
        return self._sources.archive.copy_out(
            file, self._blobs, max_bytes=self._limits.max_bytes, collection=collection
        )


def _unknown(line: TableLine) -> str:
    return f"no image is named {_shown(line.names[0])}"


def _shown(name: ImageName) -> str:
    return f"“{name.value[:100]}”"
