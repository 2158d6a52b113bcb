"""`beholder probe`: classifiers of your own labels, trained, shown, removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.output import one_line
from app.terminal import Json, fail, failures_in_one_line, print_json

group = typer.Typer(
    help="Learn labels from a few images of each; `beholder classify --probe` uses it.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The probe's name.")]


@group.command(epilog="Example: beholder probe train shop --table labels.tsv --shots 16")
def train(
    name: Name,
    table: Annotated[
        Path | None,
        typer.Option(
            help="A table of image and label, TSV, perhaps with a column split; "
            "default is the stored pairs."
        ),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=1, help="So many images of each label; default is all.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Another seed, other images.")
    ] = 0,
    collection: Annotated[
        str | None, typer.Option(help="Only stored pairs of images in this collection.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a probe and keep it, in place of the one that has this name."""
    if table is not None and collection is not None:
        fail("A table is in no collection; give one of the two.", code=2)
    if table is not None and not table.is_file():
        fail(f"There is no table {table}.", code=2)
    from app.api.jobs import job_out
    from app.jobs import train_probe
    from app.jobs.following import do_with_bar
    from app.probe_tables import train_on_table
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        if table is not None:
            made = train_on_table(services, name, table, shots=shots, seed=seed)
            for refusal in made.refused:
                typer.echo(one_line(f"refused  {refusal.path}: {refusal.reason}"), err=True)
            result, message, is_done = made.result, made.message, True
        else:
            job = do_with_bar(
                services,
                train_probe.enqueue(services, name, shots=shots, seed=seed, collection=collection),
            )
            is_done = job.state == "succeeded"
            result, message = job_out(job).model_dump(mode="json"), job.message
    if as_json:
        print_json(result)
    else:
        typer.echo(one_line(message))
    if not is_done:
        raise typer.Exit(1)


@group.command("list", epilog="Example: beholder probe list --json")
def list_probes(as_json: Json = False) -> None:
    """Show every probe, by name: its labels, its accuracy, and whether it is the live model's."""
    from app.api.probes import probe_out
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        fingerprint = services.live.generation.version.fingerprint
        probes = [probe_out(record, fingerprint) for record in services.probes.all()]
    if as_json:
        print_json([probe.model_dump(mode="json") for probe in probes])
        return
    for probe in probes:
        right = "    -" if probe.accuracy is None else f"{probe.accuracy:5.1%}"
        state = "usable" if probe.is_usable else "of another model"
        typer.echo(
            one_line(f"{probe.name}  {len(probe.labels)} labels  {right}  {probe.examples} images")
            + f"  {state}"
        )


@group.command(epilog="Example: beholder probe remove shop")
def remove(name: Name) -> None:
    """Remove a probe; the images and pairs it was trained on stay."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        services.probes.delete(name)
