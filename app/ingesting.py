"""`beholder ingest`: the import with a bar on standard error."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.services import Services
from index import Imported, count_files


def ingest_with_bar(
    services: Services, paths: Sequence[Path], collection: str
) -> tuple[Imported, bool]:
    """What became of the files, and whether Ctrl-C stopped it early.

    The bar shows images a second and the time left. The first Ctrl-C lets the files in hand
    finish; nothing added is lost.
    """
    stop = threading.Event()
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("Adding images", total=count_files(paths), rate="")

            def show(imported: Imported) -> None:
                speed = progress.tasks[0].speed
                rate = f"{speed:.0f} images/s" if speed else ""
                progress.update(task, completed=imported.done, rate=rate)

            imported = services.importer.run(
                paths, collection=collection, report=show, should_stop=stop.is_set
            )
    finally:
        signal.signal(signal.SIGINT, previous)
    return imported, stop.is_set()
