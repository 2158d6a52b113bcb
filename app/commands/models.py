"""`beholder models`: what model versions there are, new ones, and the switch between them."""

from __future__ import annotations

from typing import Annotated

import typer

from app.terminal import Json, fail, failures_in_one_line, print_json

group = typer.Typer(help="See and switch model versions.", no_args_is_help=True)

VersionId = Annotated[str, typer.Argument(help="As `beholder models list` shows it.")]


@group.command("list", epilog="Example: beholder models list --json")
def list_models(as_json: Json = False) -> None:
    """Show every model version, newest first."""
    from app.api.models import model_out
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        versions = services.versions.all()
    if as_json:
        print_json([model_out(version).model_dump(mode="json") for version in versions])
        return
    for version in versions:
        created = version.created_at.strftime("%Y-%m-%d %H:%M")
        typer.echo(f"{version.id}  {version.state:8}  {created}  {version.origin}")


@group.command(epilog="Example: beholder models show compact-1a2b3c4d --json")
def show(version_id: VersionId, as_json: Json = False) -> None:
    """Show one model version: what it is, where it came from, and how it did."""
    from app.api.models import model_out
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        shown = model_out(services.versions.get(version_id)).model_dump(mode="json")
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        if value not in (None, {}):
            typer.echo(f"{name}: {value}")


@group.command(epilog="Example: beholder models add ViT-B-32/laion2b_s34b_b79k")
def add(
    source: Annotated[
        str,
        typer.Argument(
            help="Anyone's CLIP file or folder, a name on the hub (openai/clip-vit-base-patch32, "
            "ViT-B/32, ViT-B-32/laion2b_s34b_b79k, hf-hub:owner/name@revision), or a shipped model."
        ),
    ],
    architecture: Annotated[
        str | None,
        typer.Option(help="What weights do not tell: ViT-B-32 (GELU), ViT-B-32-quickgelu."),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=1, max=4_096, help="Another side of the input, in pixels."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a checkpoint, fetched first if it is the hub's.

    `beholder reindex --model-version ID` makes it live.
    """
    from app.api.models import model_out
    from app.jobs import add_model
    from app.jobs.following import do_with_bar
    from app.model_sources import on_the_hub
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        name = on_the_hub(source)
        if name is None:
            version = services.versions.register(
                source, origin="registered", architecture=architecture, image_size=image_size
            )
        else:
            waiting = add_model.enqueue(
                services, name, architecture=architecture, image_size=image_size
            )
            job = do_with_bar(services, waiting)
            if job.state != "succeeded" or job.result is None:
                fail(job.problem["detail"] if job.problem else f"The job was left {job.state}.")
            version = services.versions.get(job.result["model_version"])
    if as_json:
        print_json(model_out(version).model_dump(mode="json"))
    else:
        typer.echo(version.id)


@group.command(epilog="Example: beholder models promote compact-1a2b3c4d")
def promote(
    version_id: Annotated[str, typer.Argument(help="A version that is ready.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even if it did worse than is allowed.")
    ] = False,
) -> None:
    """Make a version live that has embedded every image."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        typer.echo(f"{services.versions.promote(version_id, is_forced=force).id} is live")


@group.command(epilog="Example: beholder models rollback")
def rollback() -> None:
    """Make the version live again that was before; nothing is embedded again."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        typer.echo(f"{services.versions.roll_back().id} is live")


@group.command(epilog="Example: beholder models delete compact-1a2b3c4d")
def delete(version_id: Annotated[str, typer.Argument(help="A version that is not live.")]) -> None:
    """Remove a version and free its embeddings."""
    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        services.versions.discard(version_id)
