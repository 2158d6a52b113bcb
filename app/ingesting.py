"""`beholder ingest`: the import with a bar on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.bars import bars, interruptible
from app.services import Services
from index import Imported, count_files


def ingest_with_bar(
    services: Services, paths: Sequence[Path], collection: str
) -> tuple[Imported, bool]:
    """What became of the files, and whether Ctrl-C stopped it early.

    The bar shows images a second and the time left. The first Ctrl-C lets the files in hand
    finish; nothing added is lost.
    """
    with interruptible() as stop, bars("rate") as progress:
        task = progress.add_task("Adding images", total=count_files(paths), rate="")

        def show(imported: Imported) -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:.0f} images/s" if speed else ""
            progress.update(task, completed=imported.done, rate=rate)

        imported = services.importer.run(
            paths, collection=collection, report=show, should_stop=stop.is_set
        )
    return imported, stop.is_set()
