"""`beholder train fine-tune` and `beholder evaluate`: without a service, from tables of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.terminal import Json, fail, failures_in_one_line, print_json

if TYPE_CHECKING:
    from model import TrainedParts

Pairs = Annotated[
    list[Path],
    typer.Option(help="Tables of image and caption or label, TSV, perhaps with a column split."),
]
General = Annotated[
    list[Path] | None,
    typer.Option(help="Tables of other pairs, which are to be found as well as before."),
]
Model = Annotated[str, typer.Option(help="Name of a shipped model, or a checkpoint file.")]


def fine_tune(
    pairs: Pairs,
    out: Annotated[Path, typer.Option(help="The weights to write; a report goes beside them.")],
    model: Model = "compact",
    general: General = None,
    trained: Annotated[str, typer.Option(help="heads, last_blocks, all or lora.")] = "heads",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Default follows from the number of pairs.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another model.")] = 0,
    as_json: Json = False,
) -> None:
    """Fine-tune a model on your pairs. Interrupted, it goes on when run again.

    `torchrun --nproc-per-node N -m app train fine-tune …` shares the work between N processes.
    """
    with failures_in_one_line() as settings:
        from typing import get_args

        from app.tuning import fine_tune_with_bar
        from model import TrainedParts, set_threads

        if trained not in get_args(TrainedParts):
            fail(f"What can be trained is {', '.join(get_args(TrainedParts))}.", code=2)
        chosen: TrainedParts = trained  # type: ignore[assignment]
        if settings.threads:
            set_threads(settings.threads)
        done = fine_tune_with_bar(
            pairs=tuple(pairs),
            general=tuple(general or ()),
            start=model,
            out=out,
            run_folder=out.with_suffix(".run"),
            trained=chosen,
            steps=steps,
            seed=seed,
        )
    if done is None:
        return
    if as_json:
        print_json(done)
    else:
        typer.echo("\n".join(f"{name}: {value}" for name, value in done.items()))


def evaluate(
    pairs: Pairs,
    model: Model = "compact",
    against: Annotated[str, typer.Option(help="What to compare with.")] = "compact",
    general: General = None,
    as_json: Json = False,
) -> None:
    """Compare a model with another on held-out pairs; exit status 1 when it is not better."""
    with failures_in_one_line():
        from app.tuning import evaluate_with_bar

        found = evaluate_with_bar(
            pairs=tuple(pairs),
            general=tuple(general or ()),
            model=model,
            against=against,
        )
    if as_json:
        print_json(found)
    else:
        for check in found["checks"]:
            verdict = "passed" if check["passed"] else "failed"
            typer.echo(
                f"{verdict}  {check['title']}: {check['before']:.3f}, now {check['after']:.3f} "
                f"({check['allowed']})"
            )
    if not found["passed"]:
        raise typer.Exit(1)
