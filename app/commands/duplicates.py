"""`beholder duplicates`: images that look alike, found, shown and decided about."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from app.output import one_line
from app.terminal import Json, failures_in_one_line, print_json

group = typer.Typer(
    help="Find images that look alike; none is deleted unasked.", no_args_is_help=True
)

ImageIds = Annotated[list[str], typer.Argument(help="Ids of images, as `list` shows them.")]


@group.command(epilog="Example: beholder duplicates find")
def find(as_json: Json = False) -> None:
    """Compare every image that was not compared yet."""
    from app.api.jobs import job_out
    from app.jobs.find_duplicates import KIND
    from app.jobs.following import do_with_bar
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        job = do_with_bar(services, KIND.enqueue(services, {}))
    if as_json:
        print_json(job_out(job).model_dump(mode="json"))
    else:
        typer.echo(job.message)
    if job.state != "succeeded":
        raise typer.Exit(1)


@group.command("list", epilog="Example: beholder duplicates list --grade similar")
def list_duplicates(
    grade: Annotated[
        Literal["same", "similar"],
        typer.Option(help="Copies of the same picture, or crops and series."),
    ] = "same",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many groups.")] = 20,
    as_json: Json = False,
) -> None:
    """Show groups that nobody decided about, an image a line, a blank line between groups."""
    from app.api.duplicates import group_out
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        page = services.duplicates.page(grade=grade, limit=limit)
        root_path = settings.root_path
    if as_json:
        print_json([group_out(one, root_path).model_dump(mode="json") for one in page.groups])
        return
    for one in page.groups:
        for image in one.images:
            size = f"{image.width}x{image.height}"
            typer.echo(one_line(f"{image.id}  {image.format:5} {size:>11}  {image.filename}"))
        typer.echo("")
    typer.echo(f"{page.total} groups, {page.uncompared} images not compared yet", err=True)


@group.command(epilog="Example: beholder duplicates keep 0123456789abcdef fedcba9876543210")
def keep(image_ids: ImageIds) -> None:
    """Keep these images beside each other, whatever is found later."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        services.duplicates.keep(list(dict.fromkeys(image_ids)))


@group.command(epilog="Example: beholder duplicates delete fedcba9876543210")
def delete(image_ids: ImageIds) -> None:
    """Delete these images; there is no way back."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        typer.echo(f"{services.duplicates.delete(image_ids)} deleted")
