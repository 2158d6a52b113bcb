"""`beholder pairs import` and `export`: a line of progress, a file that is whole or not there."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from app.services import Services
from index import NamedFile, PairsAdded, TableFormat, opened_sources


def import_with_bar(
    services: Services, files: Sequence[Path], format: TableFormat | None, collection: str
) -> tuple[PairsAdded, bool]:
    """What became of the lines, and whether Ctrl-C stopped it early.

    Whoever runs the command may read every file that they name.
    Raises TableError, ArchiveError, StorageError, DatabaseUnavailable.
    """
    stop = threading.Event()
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    folders = [file.absolute().parent for file in files]
    roots = [*(folder / "images" for folder in folders), *folders, Path("/")]
    columns = (SpinnerColumn(), TextColumn("[progress.description]{task.description}"))
    try:
        with (
            Progress(*columns, console=Console(stderr=True), transient=True) as progress,
            opened_sources(
                [NamedFile(file, file.name) for file in files],
                format=format,
                roots=[*services.settings.picture_roots, *roots],
                collection=collection,
            ) as sources,
        ):
            task = progress.add_task("Reading", total=None)

            def show(outcome: PairsAdded) -> None:
                description = f"{outcome.lines} lines, {outcome.images_added} images added"
                progress.update(task, description=description)

            outcome = services.pair_importer.run(
                sources.lines, sources.pictures, report=show, should_stop=stop.is_set
            )
    finally:
        signal.signal(signal.SIGINT, previous)
    return outcome, stop.is_set()


def write_atomically(path: Path, lines: Iterable[str]) -> None:
    """Write a text file that is there whole or not at all. Raises OSError."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
