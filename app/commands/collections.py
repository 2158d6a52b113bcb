"""`beholder collections`: name-spaces of images, and how each is searched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.output import one_line
from app.terminal import Json, fail, failures_in_one_line, print_json

if TYPE_CHECKING:
    from index import Collection

group = typer.Typer(help="See and set up collections of images.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a collection.")]


@group.command("list", epilog="Example: beholder collections list --json")
def list_collections(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, by name.")] = 1_000,
    as_json: Json = False,
) -> None:
    """Show collections with how many images and bytes they hold, one a line."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        page = services.collections.page(limit=limit)
    if as_json:
        print_json([_document(one) for one in page.collections])
        return
    for one in page.collections:
        typer.echo(one_line(f"{one.images:>9,}  {one.size_bytes:>15,} bytes  {one.name}"))


@group.command(epilog="Example: beholder collections show holidays")
def show(name: Name, as_json: Json = False) -> None:
    """Show one collection's settings and what it holds."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        collection = services.collections.get(name)
    _print(collection, as_json=as_json)


@group.command("set", epilog="Example: beholder collections set archive --named-only --closed")
def set_up(
    name: Name,
    description: Annotated[str | None, typer.Option(help="What is in it; '' for nothing.")] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=-1, max=1, help="Least score of a hit, where it alone is searched."),
    ] = None,
    any_score: Annotated[
        bool, typer.Option("--any-score", help="No least score any more.")
    ] = False,
    group_duplicates: Annotated[
        bool | None,
        typer.Option(
            "--group-duplicates/--no-group-duplicates",
            help="Stack copies of the same picture, where it alone is searched.",
        ),
    ] = None,
    accepts_uploads: Annotated[
        bool | None, typer.Option("--open/--closed", help="Whether images can be added.")
    ] = None,
    searched_by_default: Annotated[
        bool | None,
        typer.Option(
            "--always/--named-only", help="Whether a search that names no collection covers it."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change settings of a collection, and make it if it is not there; others stay as they are."""
    if any_score and min_score is not None:
        fail("Give --min-score or --any-score, not both.", code=2)
    from app.services import open_services
    from index import CollectionSettings, NotFound

    given: dict[str, Any] = {
        "description": description,
        "min_score": min_score,
        "group_duplicates": group_duplicates,
        "accepts_uploads": accepts_uploads,
        "searched_by_default": searched_by_default,
    }
    wanted = {field: value for field, value in given.items() if value is not None}
    if any_score:
        wanted["min_score"] = None
    with failures_in_one_line() as settings, open_services(settings) as services:
        try:
            collection = services.collections.change(
                name, lambda present: replace(present, **wanted)
            )
        except NotFound:
            collection, _ = services.collections.put(name, CollectionSettings(**wanted))
    _print(collection, as_json=as_json)


@group.command(epilog="Example: beholder collections rename holidays 'Holidays 2026'")
def rename(
    name: Name, new_name: Annotated[str, typer.Argument(help="A name that no other has.")]
) -> None:
    """Give a collection another name; its images go with it."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        services.collections.change(name, lambda present: present, new_name=new_name)


@group.command(epilog="Example: beholder collections delete old --with-images")
def delete(
    name: Name,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Delete its images too; there is no way back.")
    ] = False,
) -> None:
    """Remove a collection; one with images only if that is asked for."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        deleted = services.collections.delete(name, with_images=with_images)
    typer.echo(f"{deleted} images deleted")


def _document(collection: Collection) -> dict[str, Any]:
    from app.api.collections import collection_out

    return collection_out(collection).model_dump(mode="json")


def _print(collection: Collection, *, as_json: bool) -> None:
    document = _document(collection)
    if as_json:
        print_json(document)
        return
    for field, value in document.items():
        typer.echo(one_line(f"{field}: {'' if value is None else value}"))
