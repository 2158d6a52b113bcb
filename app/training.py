"""`beholder train`: a training run with a bar on standard error."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.bars import bars
from model import CompactSettings, TrainingProgress, train_compact


def train_with_bar(
    *,
    pairs: tuple[Path, ...],
    photos: tuple[Path, ...],
    dev: Path | None,
    out: Path,
    run_folder: Path,
    seed: int,
) -> dict[str, Any]:
    """What was made: its path, its fingerprint and its measures. Raises TrainingError."""
    with bars() as progress:
        tasks: dict[str, Any] = {}

        def show(state: TrainingProgress) -> None:
            if state.stage not in tasks:
                tasks[state.stage] = progress.add_task(state.stage)
            progress.update(tasks[state.stage], completed=state.done, total=state.total)
            if state.message:
                progress.console.print(f"{state.stage} {state.done}: {state.message}")

        settings = CompactSettings(
            pairs=pairs, photos=photos, dev=dev, out=out, run_folder=run_folder, seed=seed
        )
        trained = train_compact(settings, show)
    return {
        "path": str(trained.path),
        "fingerprint": trained.fingerprint,
        "score": None if trained.score is None else asdict(trained.score),
    }
