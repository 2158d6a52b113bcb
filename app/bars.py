"""Long work in the terminal: bars on standard error, and an end by Ctrl-C that loses nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


def bars(beside: str | None = None, *, is_shown: bool = True) -> Progress:
    """Bars on standard error: what is done, how much of it, and the time left.

    `beside` is the name of a field of the tasks, shown beside how much.
    """
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *([] if beside is None else [TextColumn(f"{{task.fields[{beside}]}}")]),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=Console(stderr=True), disable=not is_shown)


@contextmanager
def interruptible(interrupted: Callable[[], None] = lambda: None) -> Iterator[threading.Event]:
    """An event that Ctrl-C sets in place of ending the program, until the block ends.

    `interrupted` is called then too, in a signal handler.
    """
    stop = threading.Event()

    def interrupt(*_: object) -> None:
        stop.set()
        interrupted()

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
