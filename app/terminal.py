"""What every command does alike: settings, a failure in one line, JSON for programs."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from app.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@contextlib.contextmanager
def failures_in_one_line(level: int = logging.WARNING) -> Iterator[Settings]:
    """The settings; what fails on purpose inside ends the program with one line and status 1."""
    from pydantic import ValidationError

    from app.errors import AppError
    from app.logs import configure
    from app.settings import Settings
    from index import RetrievalError
    from model import ModelError

    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        fail(f"The setting BEHOLDER_{name} makes no sense: {first['msg']}.", code=2)
    configure(settings.log_format, level=level)
    try:
        yield settings
    except (AppError, RetrievalError, ModelError) as error:
        fail(str(error))


def fail(message: str, *, code: int = 1) -> NoReturn:
    """End the program with one line on standard error."""
    typer.echo(f"beholder: {message}", err=True)
    raise typer.Exit(code)


def print_json(content: Any) -> None:
    """Print what a program is to read, on standard output."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=2))
