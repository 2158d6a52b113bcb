"""`beholder pairs`: images with texts, brought in, looked at, checked, taken out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.output import one_line
from app.terminal import Json, fail, failures_in_one_line, print_json

if TYPE_CHECKING:
    from index import PairsAdded

group = typer.Typer(help="Keep pairs of image and text to fine-tune on.", no_args_is_help=True)


@group.command("import", epilog="Example: beholder pairs import captions.tsv photos.zip")
def import_pairs(
    files: Annotated[
        list[Path], typer.Argument(help="A table (TSV, CSV, JSONL), a zip file, or one of each.")
    ],
    collection: Annotated[
        str, typer.Option(help="Collection for the images that come with it.")
    ] = "default",
    format: Annotated[
        Literal["tsv", "csv", "jsonl"] | None,
        typer.Option(help="Of the table; default is what its name or first line says."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add pairs, and the pictures they name: paths are relative to the table or absolute.

    Bad lines are listed and never stop the good ones; run again, it adds nothing twice.
    """
    if not collection.strip():
        fail("A collection has a name.", code=2)
    missing = [file for file in files if not file.is_file()]
    if missing:
        fail(f"There is no file {missing[0]}.", code=2)
    from app.api.pairs import added_out
    from app.pair_importing import import_with_bar
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        outcome, was_interrupted = import_with_bar(services, files, format, collection.strip())
    if as_json:
        print_json(added_out(outcome).model_dump(mode="json"))
    else:
        _print_outcome(outcome)
    if was_interrupted:
        fail("Interrupted; run the same command again to go on.")


@group.command("list", epilog="Example: beholder pairs list --split validation --limit 5")
def list_pairs(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, newest first.")] = 20,
    image: Annotated[str | None, typer.Option(help="Only of the image with this id.")] = None,
    split: Annotated[
        Literal["train", "validation"] | None, typer.Option(help="Only this side of the split.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show pairs, newest first."""
    from app.api.pairs import pair_out
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        page = services.pairs.page(limit=limit, image_id=image, side=split)
        root_path = settings.root_path
    if as_json:
        print_json([pair_out(pair, root_path).model_dump(mode="json") for pair in page.pairs])
        return
    for pair in page.pairs:
        typer.echo(one_line(f"{pair.image_id}  {pair.side:10}  {pair.filename}  {pair.text}"))


@group.command(epilog="Example: beholder pairs export --out pairs.tsv")
def export(
    out: Annotated[
        Path | None, typer.Option(help="File to write; default is standard output.")
    ] = None,
    format: Annotated[
        Literal["tsv", "jsonl"], typer.Option(help="Tab-separated, or one JSON object a line.")
    ] = "tsv",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    """Write every pair as a table that `import` reads back."""
    from app.pair_importing import write_atomically
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        lines = services.pairs.table("jsonl" if as_json else format)
        if out is None:
            for line in lines:
                typer.echo(line, nl=False)
            return
        try:
            write_atomically(out, lines)
        except OSError as error:
            fail(f"The table {out} could not be written: {error.strerror}.")


@group.command(epilog="Example: beholder pairs check --json")
def check(as_json: Json = False) -> None:
    """Say what is wrong with the pairs; exit status 1 when training on them is pointless."""
    from app.api.pairs import check_out
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        found = services.pairs.check()
    if as_json:
        print_json(check_out(found).model_dump(mode="json"))
    else:
        for finding in found.findings:
            typer.echo(f"{finding.level}  {finding.code}: {finding.detail}")
            for example in finding.examples:
                typer.echo(one_line(f"  {example.image_id or ''}  {example.text or ''}"))
        typer.echo(
            f"{found.pairs} pairs, {found.images} images ({found.train_images} to train, "
            f"{found.validation_images} to validate), {found.texts} different texts"
        )
    if not found.is_trainable:
        raise typer.Exit(1)


def _print_outcome(outcome: PairsAdded) -> None:
    for one in outcome.refused:
        where = f"line {one.line}" if one.entry is None else one.entry
        typer.echo(one_line(f"refused  {where}: {one.reason}"), err=True)
    more = outcome.refused_total - len(outcome.refused)
    if more:
        typer.echo(f"refused  {more} more", err=True)
    typer.echo(
        f"{outcome.added} added, {outcome.existing} already there, "
        f"{outcome.refused_total} refused, {outcome.images_added} images added"
    )
