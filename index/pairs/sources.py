"""The one or two files of an import: a table, a zip file of pictures, or a zip file with both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.archives import Archive, is_archive
from index.blobs import stored_errors
from index.errors import TableError
from index.pairs.finding import PictureSources
from index.pairs.rows import Refused
from index.pairs.tables import TableFormat, TableLine, read_table, table_format
from index.uploads import DEFAULT_COLLECTION


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file on disk, and the name that its sender gave it."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class OpenedSources:
    """The lines of the table, read as they are asked for, and where they may name pictures."""

    lines: Iterator[TableLine | Refused]
    pictures: PictureSources


@contextmanager
def opened_sources(
    files: Sequence[NamedFile],
    *,
    format: TableFormat | None = None,
    roots: Sequence[Path] = (),
    collection: str = DEFAULT_COLLECTION,
) -> Iterator[OpenedSources]:
    """The table and the pictures of an import, open in the block.

    Raises TableError, ArchiveError, StorageError.
    """
    archives = [file for file in files if is_archive(file.path)]
    tables = [file for file in files if file not in archives]
    if len(archives) > 1 or len(tables) > 1 or not files:
        raise TableError("send one table, one zip file, or one of each")
    with ExitStack() as stack:
        archive = stack.enter_context(Archive(archives[0].path)) if archives else None
        inner: str | None = None
        if tables:
            with stored_errors(tables[0].path):
                table = stack.enter_context(tables[0].path.open("rb"))
            name = tables[0].name
        else:
            assert archive is not None, "there is one of the two"
            name = inner = _only_table(archive)
            table = stack.enter_context(archive.open(name))
        pictures = PictureSources(archive, inner, tuple(roots), collection)
        yield OpenedSources(read_table(table, format or table_format(name)), pictures)


def _only_table(archive: Archive) -> str:
    """The table of an archive: the one that lies nearest to its top."""
    tables = [name for name in archive.names if table_format(name) is not None]
    if not tables:
        raise TableError("the zip file holds no .tsv, .csv or .jsonl; send the table beside it")
    top = min(name.count("/") for name in tables)
    nearest = [name for name in tables if name.count("/") == top]
    if len(nearest) > 1:
        raise TableError(f"the zip file holds several: {', '.join(sorted(nearest)[:5])}")
    return nearest[0]
