"""`beholder verify`: whether what is stored agrees with itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.output import one_line
from app.terminal import Json, failures_in_one_line, print_json

if TYPE_CHECKING:
    from index import Disagreement, Repair


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be made again from what is there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare files, rows, embeddings and index; exit status 1 when something stays wrong.

    A repair embeds again, puts the index right and removes files of no image. It never removes an
    image: one whose file is gone or damaged is found as before, until it is uploaded again.
    """
    from rich.console import Console
    from rich.progress import Progress

    from app.services import open_services

    with failures_in_one_line() as settings, open_services(settings) as services:
        with Progress(console=Console(stderr=True)) as progress:
            comparing = progress.add_task("Comparing", total=None)
            found = services.verifier.run(
                lambda done, total: progress.update(comparing, completed=done, total=total)
            )
            repairs: list[Repair] = []
            if repair and found:
                repairing = progress.add_task("Repairing", total=len(found))
                repairs = services.repairer.run(
                    found, lambda done: progress.update(repairing, completed=done)
                )
        count = services.library.count()
    _print(count, found, repairs, as_json=as_json)
    if len(found) > sum(one.is_done for one in repairs):
        raise typer.Exit(1)


def _print(count: int, found: list[Disagreement], repairs: list[Repair], *, as_json: bool) -> None:
    outcomes = {one.disagreement: one for one in repairs}
    if as_json:
        disagreements: list[dict[str, Any]] = [
            asdict(one)
            | (
                {"repaired": outcomes[one].is_done, "outcome": outcomes[one].outcome}
                if one in outcomes
                else {}
            )
            for one in found
        ]
        print_json({"images": count, "disagreements": disagreements})
        return
    for one in found:
        name = one.image_id or one.sha256 or one.image_number
        outcome = f" -> {outcomes[one].outcome}" if one in outcomes else ""
        typer.echo(one_line(f"{one.kind}: {name} {one.filename or ''}{outcome}"))
    repaired = sum(one.is_done for one in repairs)
    typer.echo(f"{count} images, {len(found)} disagreements, {repaired} repaired")
