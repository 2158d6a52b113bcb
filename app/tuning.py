"""Fine-tuning and evaluating from tables, with bars on standard error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.bars import bars
from model import (
    AllowedFalls,
    CaptionedPhoto,
    ComparedPhotos,
    FineTuneProgress,
    FineTuneSettings,
    TrainedParts,
    compare,
    fine_tune,
    load_encoder,
    read_split,
)

# As many photos as an evaluation in the service looks through.
_GALLERY = 500


def fine_tune_with_bar(
    *,
    pairs: tuple[Path, ...],
    general: tuple[Path, ...],
    start: str,
    out: Path,
    run_folder: Path,
    trained: TrainedParts,
    steps: int | None,
    seed: int,
) -> dict[str, Any] | None:
    """What was made and how it did; None in all but the first of several processes.

    Raises TrainingError.
    """
    train, validation = _read(pairs)
    others = [photo for photos in _read(general) for photo in photos]
    is_first = os.environ.get("RANK", "0") == "0"
    with _bars(is_shown=is_first) as show:

        def heard(state: FineTuneProgress) -> None:
            is_news = state.is_measured or state.stage == "blend"
            show(state.stage, state.done, state.total, state.message if is_news else "")

        done = fine_tune(
            FineTuneSettings(
                start=start,
                train=train,
                validation=validation,
                general=others,
                out=out,
                run_folder=run_folder,
                trained=trained,
                steps=steps,
                seed=seed,
            ),
            heard,
        )
    if not is_first:
        return None
    return {
        "path": str(done.path),
        "fingerprint": done.fingerprint,
        "report": str(done.report),
        "steps": done.steps,
        "seconds": round(done.seconds, 1),
        "blend": done.share,
        "before": done.before.figures(),
        "after": done.after.figures(),
        "left_out": [f"{one.path}: {one.reason}" for one in done.unreadable],
    }


def evaluate_with_bar(
    *, pairs: tuple[Path, ...], general: tuple[Path, ...], model: str, against: str
) -> dict[str, Any]:
    """How both did on the held-out pairs, and the checks. Raises TrainingError, CheckpointError."""
    train, validation = _read(pairs)
    others = [photo for photos in _read(general) for photo in photos]
    every = max(1, len(train) // _GALLERY)
    photos = ComparedPhotos(
        validation=validation, general=others, gallery=[one.path for one in train[::every]]
    )
    before, after = load_encoder(against), load_encoder(model)
    with _bars() as show:
        found = compare(
            before, after, photos, AllowedFalls(), lambda done, total: show("photos", done, total)
        )
    return {
        "model": model,
        "against": against,
        "before": found.before.figures(),
        "after": found.after.figures(),
        "checks": [asdict(check) for check in found.checks],
        "passed": found.passed,
        "left_out": [f"{one.path}: {one.reason}" for one in found.unreadable],
    }


def _read(tables: tuple[Path, ...]) -> tuple[list[CaptionedPhoto], list[CaptionedPhoto]]:
    train: list[CaptionedPhoto] = []
    held_out: list[CaptionedPhoto] = []
    for table in tables:
        own, others = read_split(table)
        train += own
        held_out += others
    return train, held_out


@contextmanager
def _bars(*, is_shown: bool = True) -> Iterator[Callable[..., None]]:
    with bars(is_shown=is_shown) as progress:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int, message: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage)
            progress.update(tasks[stage], completed=done, total=total)
            if message:
                progress.console.print(f"{stage} {done}: {message}")

        yield show
