"""`beholder classify`: which of some labels pictures show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.output import one_line
from app.terminal import Json, fail, failures_in_one_line, print_json

if TYPE_CHECKING:
    from app.classifying import Asked, Question
    from app.classifying_files import ClassifiedFiles


def classify(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    labels: Annotated[
        str | None, typer.Option(help="A file of labels, one a line, or a few with commas: a,b,c.")
    ] = None,
    templates: Annotated[
        list[str] | None,
        typer.Option(
            help="A sentence with {label} in it, or photos, products, documents or art; "
            "repeat it for several."
        ),
    ] = None,
    probe: Annotated[
        str | None, typer.Option(help="A saved probe, instead of labels: see `beholder probe`.")
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(help="Say what is none of the labels: auto, or a number from 0 to 1."),
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, max=1_000, help="How many labels of each picture.")
    ] = 3,
    as_json: Json = False,
) -> None:
    """Tell which labels pictures fit, best first; exit status 1 if a picture can't be read."""
    if (labels is None) == (probe is None):
        fail("Give --labels or --probe, one of the two.", code=2)
    missing = [path for path in pictures if not path.exists()]
    if missing:
        fail(f"There is no file or folder {missing[0]}.", code=2)
    from app.classifying_files import classify_with_bar
    from app.services import open_services

    with failures_in_one_line() as settings:
        question = _question(labels, templates, probe, threshold)
        with open_services(settings) as services:
            asked, done = classify_with_bar(services, question, pictures)
    if as_json:
        print_json(_documents(asked, done, top))
    else:
        _print_table(done, top)
    for warning in asked.warnings:
        typer.echo(warning, err=True)
    for refusal in done.refused:
        typer.echo(one_line(f"refused  {refusal.path}: {refusal.reason}"), err=True)
    if done.was_interrupted:
        fail("Interrupted.")
    if not done.classified and not done.refused:
        fail("There is no picture.")
    if done.refused:
        raise typer.Exit(1)


def _question(
    labels: str | None, templates: list[str] | None, probe: str | None, threshold: str | None
) -> Question:
    """What is asked; what can't be is said before anything is opened. Raises LabelError."""
    from app.classifying import Question, threshold_of
    from app.label_files import labels_of
    from model import LabelError, check_labels, templates_of

    try:
        least = None if threshold is None else threshold_of(threshold)
    except ValueError:
        fail("The threshold is auto, or a number from 0 to 1.", code=2)
    if labels is None:
        if templates:
            fail("A probe has no templates; they are for labels.", code=2)
        return Question(probe=probe, threshold=least)
    try:
        found = labels_of(labels)
        check_labels(found.labels)
        templates_of(templates or None)
    except LabelError as error:
        fail(str(error), code=2)
    for one in found.passed_by:
        typer.echo(f"passed by  {labels} line {one.line}: {one.reason}", err=True)
    return Question(labels=found.labels, templates=templates or None, threshold=least)


def _documents(asked: Asked, done: ClassifiedFiles, top: int) -> list[dict[str, Any]]:
    """What the API answers for each picture, with the picture's name."""
    from app.api.understanding import classify_out

    return [
        {"picture": one.name} | classify_out(one.found, asked, at_most=top).model_dump(mode="json")
        for one in done.classified
    ]


def _print_table(done: ClassifiedFiles, top: int) -> None:
    """A line for each label of each picture, on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("picture", "probability", "score", "label"):
        table.add_column(heading, overflow="fold", no_wrap=heading in {"probability", "score"})
    for one in done.classified:
        # Names and labels are data: neither brackets nor control characters may do anything.
        name = Text(one_line(one.name))
        if one.found.is_none:
            table.add_row(name, "", "", Text(f"(none of these: fit {one.found.fit:.3f})"))
            name = Text("")
        for prediction in one.found.predictions[:top]:
            label = Text(one_line(prediction.label))
            table.add_row(name, f"{prediction.probability:.3f}", f"{prediction.score:.3f}", label)
            name = Text("")
    if done.classified:
        Console().print(table)
