"""`python -m app.demo`, which `make demo` runs: the flow of `run.py` with its few options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.demo.run import Questions, run_demo
from app.server import check_free, serve_forever
from app.services import open_services
from app.settings import Settings
from app.terminal import failures_in_one_line

SAMPLE_QUESTIONS = Questions("a cup of coffee on a wooden table", picture="chelsea.png")
OWN_QUESTIONS = Questions("people outdoors on a sunny day")


def demo(
    photos: Annotated[
        Path | None, typer.Option(envvar="PHOTOS", help="A folder of one's own photographs.")
    ] = None,
    sentence: Annotated[
        str | None, typer.Option(envvar="SENTENCE", help="What to ask instead.")
    ] = None,
    host: Annotated[str, typer.Option(envvar="HOST", help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="PORT", min=1, max=65_535, help="Port to serve on.")
    ] = 8000,
    once: Annotated[
        bool, typer.Option(envvar="DEMO_ONCE", help="Stop after the answers, serve nothing.")
    ] = False,
) -> None:
    """Load sample photographs, answer a sentence and a picture, then serve the page."""
    console = Console()
    questions = OWN_QUESTIONS if photos else SAMPLE_QUESTIONS
    if sentence is not None:
        questions = Questions(sentence, questions.picture)
    with failures_in_one_line() as given:
        # One's own photographs are kept apart, so that neither shows up among the other.
        default = Path("data", "own-photos" if photos else "demo")
        settings = given if "data_dir" in given.model_fields_set else Settings(data_dir=default)
        if not once:
            # Before the work rather than after it.
            check_free(host, port)
        folder = photos.expanduser() if photos else None
        with open_services(settings) as services:
            run_demo(services, questions, photos=folder, console=console)
        if not once:
            console.print(f"\nThe page: [bold]http://{host}:{port}/[/bold]   (Ctrl-C ends it)")
            serve_forever(settings, host=host, port=port)


if __name__ == "__main__":
    typer.run(demo)
