"""A folder of pictures in: walks, skips what is known, adds in parallel, lists what was refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from index.blobs import BlobStore
from index.errors import DatabaseUnavailable, RetrievalError, StorageError, StorageFull
from index.indexer import Indexer
from index.uploads import DEFAULT_COLLECTION, Words, copy_in
from model import ImageLimits, ModelError

# Decoding releases the GIL, and each of these waits for the model and the disk most of the time.
IMPORTING_THREADS = 16
# Enough to keep the threads busy; more would only hold paths of a huge tree in memory.
WAITING_FILES = 4 * IMPORTING_THREADS
# For the model: nobody waits for an import, and it gives way to all who do.
PATIENCE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was not taken, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class Imported:
    """What became of the files so far; hidden files are not counted at all."""

    created: int = 0
    exists: int = 0
    refused: list[Refusal] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many files have been looked at."""
        return self.created + self.exists + len(self.refused)


class Importer:
    """Adds whole folders; what is added is durable at once, so it can be stopped and run again."""

    def __init__(self, indexer: Indexer, blobs: BlobStore, limits: ImageLimits) -> None:
        self._indexer = indexer
        self._blobs = blobs
        self._limits = limits

    def run(
        self,
        paths: Sequence[Path],
        *,
        collection: str = DEFAULT_COLLECTION,
        report: Callable[[Imported], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Imported:
        """Add every picture in the files and folders of `paths`; the sources are only read.

        Each image remembers its path as `metadata.path`, relative to the folder that was given.
        A file that can't be read or is no picture is listed and never stops the others.

        Raises DatabaseUnavailable and StorageFull, which no other file would survive either.
        """
        imported = Imported()
        files = files_below(paths)
        pending: dict[Future[bool], Path] = {}
        with ThreadPoolExecutor(IMPORTING_THREADS, thread_name_prefix="import") as pool:
            try:
                while True:
                    while len(pending) < WAITING_FILES and not should_stop():
                        entry = next(files, None)
                        if entry is None:
                            break
                        path, root = entry
                        pending[pool.submit(self._add, path, root, collection)] = path
                    if not pending:
                        return imported
                    finished, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in finished:
                        _count(imported, pending.pop(future), future)
                    report(imported)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _add(self, path: Path, root: Path, collection: str) -> bool:
        """Whether the file is a new image."""
        if not path.is_file():
            # Opening a named pipe would wait for its writer for ever.
            raise StorageError(path, "it is no regular file, or a link to nowhere")
        shown = os.fsencode(path.relative_to(root)).decode(errors="replace")
        upload = copy_in(
            path,
            self._blobs,
            max_bytes=self._limits.max_bytes,
            filename=os.fsencode(path.name).decode(errors="replace"),
            collection=collection,
            words=Words(metadata={"path": shown}),
        )
        return self._indexer.add(upload, wait_seconds=PATIENCE_SECONDS).is_new


def count_files(paths: Sequence[Path]) -> int:
    """How many files an import of `paths` will look at."""
    return sum(1 for _ in files_below(paths))


def files_below(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Every file below `paths` with the folder it was found from, in a stable order.

    Hidden files and folders are passed by, unless they are given themselves.
    """
    for path in paths:
        if not path.is_dir():
            yield path, path.parent
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    yield Path(folder, name), path


def _count(imported: Imported, path: Path, future: Future[bool]) -> None:
    try:
        if future.result():
            imported.created += 1
        else:
            imported.exists += 1
    except (DatabaseUnavailable, StorageFull):
        raise
    except (ModelError, RetrievalError) as error:
        imported.refused.append(Refusal(os.fsencode(path).decode(errors="replace"), str(error)))
