"""What a fine-tune gains on an owner's photos, what it costs elsewhere, and how long it takes.

    python benchmarks/fine_tune.py --labels TSV --general TSV [--model NAME] [--sizes 10 20 40 ...]

`--labels` is a table of `image`, `label` and `split`: its rows `train` are the owner's pairs, the
bare label the text, every setting at its default; one photo in seven of them is held out for the
run to choose by. `--general` is a table of `image` and `caption` of other photos. Before and after,
as served, on photos that the run never saw: zero-shot top-1 on the rows `--split` with the default
prompts, and text-to-image recall@10 on the others.

With `--sizes`, instead: as many pairs as each size, drawn at random three times.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quality import measure_labels, measure_pairs
from report import RESULTS, publish

from model import (
    CaptionedPhoto,
    Encoder,
    FineTuneProgress,
    FineTuneSettings,
    fine_tune,
    load_encoder,
    read_split,
)

DRAWS = 3
HELD_OUT_ONE_IN = 7


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--general", type=Path, required=True)
    parser.add_argument("--split", default="validation", help="the rows to measure on")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--trained", default="heads", choices=["heads", "last_blocks", "all"])
    parser.add_argument("--sizes", type=int, nargs="*", help="numbers of pairs, in turn")
    parser.add_argument("--name", default="fine_tune", help="of the files under benchmarks/results")
    options = parser.parse_args()
    photos, _ = read_split(options.labels)
    before = measured(options.model, options)
    if options.sizes:
        few_pairs(photos, before, options)
        return
    held_out = photos[::HELD_OUT_ONE_IN]
    chosen_by = {photo.path for photo in held_out}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tuned.safetensors"
        began = time.perf_counter()
        done = fine_tune(
            FineTuneSettings(
                start=options.model,
                train=[photo for photo in photos if photo.path not in chosen_by],
                validation=held_out,
                out=out,
                run_folder=Path(folder) / "run",
                trained=options.trained,
            ),
            told,
        )
        minutes = (time.perf_counter() - began) / 60
        after = measured(str(out), options)
        RESULTS.mkdir(parents=True, exist_ok=True)
        # Not the contact sheet: the photos are their owner's.
        shutil.copyfile(done.report / "curves.png", RESULTS / f"{options.name}.png")
    rows = [{"measure": name, "before": before[name], "after": after[name]} for name in before]
    rows.append(
        {"measure": "everyday hits that stay", "before": 1.0, "after": done.after.agreement}
    )
    publish(
        options.name,
        rows,
        model=options.model,
        trained=options.trained,
        pairs=len(photos),
        steps=done.steps,
        blend=done.share,
        minutes=round(minutes, 2),
    )
    print(f"{minutes:.1f} minutes, {done.steps} steps, blend {done.share}")


def measured(model: str, options: argparse.Namespace) -> dict[str, float]:
    """The two figures of a model, as it serves."""
    encoder = load_encoder(model)
    return named(encoder, options) | general(encoder, options)


def named(encoder: Encoder, options: argparse.Namespace) -> dict[str, float]:
    """Zero-shot top-1 on the photos of `--split`."""
    rows = measure_labels(encoder, options.labels, options.split)
    (top_1,) = [row for row in rows if row["measure"].startswith("top-1")]
    return {f"{top_1['table']}: {top_1['measure']}": top_1["value"]}


def general(encoder: Encoder, options: argparse.Namespace) -> dict[str, float]:
    """Text-to-image recall@10 on the other photos."""
    rows = measure_pairs(encoder, options.general)
    (recall,) = [row for row in rows if row["measure"] == "recall@10"]
    return {f"{recall['table']}: {recall['measure']}": recall["value"]}


def few_pairs(
    photos: Sequence[CaptionedPhoto], before: dict[str, float], options: argparse.Namespace
) -> None:
    """Measure every size and draw the gain by size; the other photos after the first draw alone."""
    rows: list[dict[str, Any]] = []
    for size in sorted(options.sizes):
        found: list[float] = []
        row: dict[str, Any] = {"pairs": size}
        for draw in range(DRAWS):
            encoder = tuned_on_few(photos, size, draw, options)
            ((name, value),) = named(encoder, options).items()
            found.append(value)
            if draw == 0:
                elsewhere = general(encoder, options)
        row |= {name: statistics.median(found), "least": min(found), "most": max(found)}
        rows.append(row | elsewhere)
        print(rows[-1], flush=True)
    publish(f"{options.name}-sizes", rows, model=options.model, before=before)
    draw_sizes(rows, before, options.name)


def tuned_on_few(
    photos: Sequence[CaptionedPhoto], size: int, draw: int, options: argparse.Namespace
) -> Encoder:
    """The model after a fine-tune on so many pairs, one in seven of them held out."""
    chosen = random.Random(draw).sample(list(photos), min(size, len(photos)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tuned.safetensors"
        fine_tune(
            FineTuneSettings(
                start=options.model,
                train=[photo for place, photo in enumerate(chosen) if place % HELD_OUT_ONE_IN],
                validation=chosen[::HELD_OUT_ONE_IN],
                out=out,
                run_folder=Path(folder) / "run",
                trained=options.trained,
                seed=draw,
            ),
            told,
        )
        return load_encoder(str(out))


def draw_sizes(rows: Sequence[dict[str, Any]], before: dict[str, float], name: str) -> None:
    """Each figure by the number of pairs, with what it was before."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for colour, (measure, value) in zip(("#4269d0", "#efb118"), before.items(), strict=True):
        sizes = [row["pairs"] for row in rows]
        axes.plot(sizes, [row[measure] for row in rows], marker="o", color=colour, label=measure)
        axes.axhline(value, color=colour, linestyle=":")
    axes.set(xscale="log", xlabel="pairs", ylabel="share", ylim=(0, 1))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / f"{name}-sizes.png", dpi=110)
    plt.close(figure)


def told(progress: FineTuneProgress) -> None:
    """Print what was measured on the way."""
    if progress.is_measured or progress.stage == "blend":
        print(f"{progress.stage} {progress.done}/{progress.total}: {progress.message}", flush=True)


if __name__ == "__main__":
    main()
