"""`beholder index move`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Literal

import typer

from app.terminal import Json, fail, failures_in_one_line, print_json

group = typer.Typer(help="Where the vectors are searched.", no_args_is_help=True)


@group.callback()
def index() -> None:
    """Where the vectors are searched."""


@group.command(epilog="Example: BEHOLDER_MILVUS_URI=http://milvus:19530 beholder index move milvus")
def move(
    where: Annotated[Literal["milvus", "faiss"], typer.Argument(help="The index to fill.")],
    as_json: Json = False,
) -> None:
    """Bring the live model's vectors into the other index; the service may run meanwhile.

    Stopped at any moment it goes on where it was. Then set BEHOLDER_VECTOR_INDEX and restart the
    processes: each applies what has changed since. Nothing is embedded again.
    """
    from rich.console import Console
    from rich.progress import Progress

    from app.services import open_keeper
    from index import Database, migrate
    from index import move as move_index

    with failures_in_one_line() as settings, ExitStack() as stack:
        if where == "milvus" and settings.milvus_uri is None:
            fail("Set BEHOLDER_MILVUS_URI to the Milvus that is to be filled.", code=2)
        database = Database(settings.effective_database_url)
        stack.callback(database.close)
        migrate(database, wait_seconds=settings.database_wait_seconds)
        keeper = open_keeper(settings, where)
        stack.callback(keeper.close)
        progress = stack.enter_context(Progress(console=Console(stderr=True)))
        task = progress.add_task(f"to {where}", total=None)
        version, size = move_index(
            database,
            keeper,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        print_json({"where": where, "model_version": version.id, "size": size})
    else:
        typer.echo(f"{size} vectors of the model version {version.id} are in {where}")
