"""`beholder backup` and `beholder restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.terminal import Json, failures_in_one_line, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

Folder = Annotated[Path, typer.Argument(help="The folder of the backup.")]


def backup(
    folder: Folder,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read again what is in the backup already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring a backup up to the present, copying only what is new; the service may go on meanwhile.

    It holds every row, image file and model of one moment. Exit status 1 when the store itself
    lacks a file that the backup should have.
    """
    from app.backups import make_backup

    with failures_in_one_line() as settings, _bar() as report:
        made = make_backup(settings, folder, reads_all=not quick, report=report)
    if as_json:
        print_json(
            {
                "images": made.images,
                "files_copied": made.files_copied,
                "bytes_copied": made.bytes_copied,
                "files_kept": made.files_kept,
                "files_removed": made.files_removed,
                "missing": list(made.missing),
            }
        )
    else:
        for sha256 in made.missing:
            typer.echo(f"missing or damaged in the store: {sha256}", err=True)
        typer.echo(
            f"{made.images} images: {made.files_copied} files copied "
            f"({made.bytes_copied / 1e6:.1f} MB), {made.files_kept} there already, "
            f"{made.files_removed} removed, {len(made.missing)} missing"
        )
    if made.missing:
        raise typer.Exit(1)


def restore(folder: Folder, as_json: Json = False) -> None:
    """Put a backup back into an empty data folder and database; no service may be running.

    The whole backup is checked before anything is touched, and what is back is counted and
    searched.
    """
    from app.backups import restore_backup

    with failures_in_one_line() as settings, _bar() as report:
        restored = restore_backup(settings, folder, report=report)
    if as_json:
        print_json(
            {
                "created_at": restored.created_at,
                "images": restored.images,
                "rows": restored.rows,
                "missing": list(restored.missing),
            }
        )
    else:
        typer.echo(
            f"{restored.images} images of {restored.created_at} are back, "
            f"{len(restored.missing)} of them without a file"
        )


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, one line for each step."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step)
            progress.update(tasks[step], completed=done, total=total)

        yield report
