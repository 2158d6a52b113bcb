"""What words do for the names of pictures, what a few examples do, and what is none of them.

    python benchmarks/zero_shot.py --labels TSV [--outside TSV]... [--model NAME] [--seeds 5]

`--labels` is a table of `image`, `label` and `split`. Everything is measured on the rows `--split`,
which nothing was trained or chosen on:

- zero-shot top-1 by the bare label, by the one template of the paper, and by each set of templates;
- a linear probe on 1, 2, 4, 8, 16 and all images of each label, the median of several draws, its
  regularisation chosen inside of what was drawn (Radford et al., 2021, figure 6);
- the share of pictures that the usual threshold turns away: of those that show one of the labels,
  and of those of the tables `--outside` (of images with captions or labels), which show none.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from quality import embed_photos
from report import RESULTS, publish

from model import (
    BARE_TEMPLATE,
    TEMPLATE_SETS,
    Classifier,
    Encoder,
    ProbeExamples,
    ZeroShotClassifier,
    classify,
    draw_shots,
    general_queries,
    label_embeddings,
    load_encoder,
    read_split,
    set_threads,
    train_probe,
)
from model.training.pairs import read_labels

SHOTS = (1, 2, 4, 8, 16)
COLOUR = "#4269d0"
OTHER_COLOUR = "#efb118"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--split", default="validation", help="the rows to measure on")
    parser.add_argument("--outside", type=Path, action="append", default=[])
    parser.add_argument("--model", default="compact")
    parser.add_argument(
        "--seeds", type=int, default=5, help="draws of each number of shots; 0 for none"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--name", default="zero_shot", help="of the files under benchmarks/results")
    options = parser.parse_args()
    set_threads(options.threads)
    encoder = load_encoder(options.model)
    train = examples(encoder, options.labels, "train")
    tested = examples(encoder, options.labels, options.split)
    labels = tuple(sorted(set(train.labels)))
    prompts = by_prompts(encoder, labels, tested)
    shots = by_shots(encoder, train, tested, options.seeds) if options.seeds else []
    outside = {table: outside_photos(encoder, table) for table in options.outside}
    usual = zero_shot(encoder, labels, TEMPLATE_SETS["default"])
    rows = [*prompts, *shots, *turned_away("zero-shot", usual, tested, outside)]
    if options.seeds:
        whole = train_probe(train, fingerprint=encoder.fingerprint)
        rows += turned_away("probe of all", whole.probe, tested, outside)
    publish(
        options.name,
        rows,
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        precision=str(encoder.precision),
        table=f"{options.labels.parent.name}/{options.labels.stem}",
        labels=len(labels),
        train=len(train),
        tested=len(tested),
        seeds=options.seeds,
    )
    if options.seeds:
        draw(prompts, shots, options)


def examples(encoder: Encoder, table: Path, split: str) -> ProbeExamples:
    """The embedded rows of one split."""
    photos = read_labels(table, split)
    vectors = embed_photos(encoder, [photo.path for photo in photos])
    return ProbeExamples(vectors, tuple(photo.label for photo in photos))


def outside_photos(encoder: Encoder, table: Path) -> NDArray[np.float32]:
    """The embedded photos of a table, each once."""
    photos = [photo for side in read_split(table) for photo in side]
    return embed_photos(encoder, [photo.path for photo in photos])


def zero_shot(
    encoder: Encoder, labels: tuple[str, ...], templates: Sequence[str]
) -> ZeroShotClassifier:
    """The labels in these templates, and everyday sentences beside them."""

    def embed(texts: list[str]) -> NDArray[np.float32]:
        return encoder.embed_texts(texts).vectors

    return ZeroShotClassifier(
        labels=labels,
        vectors=label_embeddings(labels, embed, templates),
        logit_scale=encoder.logit_scale,
        logit_bias=encoder.logit_bias,
        background=embed(list(general_queries())),
    )


def by_prompts(
    encoder: Encoder, labels: tuple[str, ...], tested: ProbeExamples
) -> list[dict[str, Any]]:
    """Top-1 of the bare label, of one template, and of every set."""
    written = {
        "bare label": (BARE_TEMPLATE,),
        "one template": ("A photo of a {label}.",),
        **{f"ensemble {name}": templates for name, templates in TEMPLATE_SETS.items()},
    }
    return [
        row("zero-shot", name, [accuracy(zero_shot(encoder, labels, templates), tested)])
        for name, templates in written.items()
    ]


def by_shots(
    encoder: Encoder, train: ProbeExamples, tested: ProbeExamples, seeds: int
) -> list[dict[str, Any]]:
    """Top-1 of probes on so many images of each label, over several draws, and on all."""
    rows = []
    for shots in SHOTS:
        found = []
        for seed in range(seeds):
            drawn = train.some(draw_shots(train.labels, shots, seed=seed))
            probe = train_probe(drawn, fingerprint=encoder.fingerprint, seed=seed).probe
            found.append(accuracy(probe, tested))
        rows.append(row("probe", f"{shots} shots", found))
        print(rows[-1], flush=True)
    probe = train_probe(train, fingerprint=encoder.fingerprint).probe
    return [*rows, row("probe", "all", [accuracy(probe, tested)])]


def turned_away(
    name: str,
    classifier: Classifier,
    tested: ProbeExamples,
    outside: dict[Path, NDArray[np.float32]],
) -> list[dict[str, Any]]:
    """The share that is told to be none of the labels, inside and outside."""

    def share(vectors: NDArray[np.float32]) -> float:
        found = classify(vectors, classifier, threshold="auto")
        return sum(bool(one.is_none) for one in found) / len(found)

    rows = [row(f"{name}: none of these", "of the labels' own", [share(tested.vectors)])]
    for table, vectors in outside.items():
        rows.append(row(f"{name}: none of these", f"of {table.parent.name}", [share(vectors)]))
    return rows


def accuracy(classifier: Classifier, tested: ProbeExamples) -> float:
    """The share whose likeliest label is the right one."""
    best = classifier.probabilities(tested.vectors).argmax(axis=1)
    right = [
        classifier.labels[place] == label for place, label in zip(best, tested.labels, strict=True)
    ]
    return sum(right) / len(right)


def row(measure: str, name: str, found: Sequence[float]) -> dict[str, Any]:
    """One line of the table."""
    return {
        "measure": measure,
        "of": name,
        "median": statistics.median(found),
        "least": min(found),
        "most": max(found),
    }


def draw(
    prompts: Sequence[dict[str, Any]], shots: Sequence[dict[str, Any]], options: argparse.Namespace
) -> None:
    """Figures 4 and 6 of the paper: what prompts gain, and zero-shot among few-shot probes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    bars = left.barh(
        [one["of"] for one in prompts], [100 * one["median"] for one in prompts], color=COLOUR
    )
    left.bar_label(bars, fmt="%.1f", padding=3)
    left.invert_yaxis()
    left.set(xlabel="zero-shot top-1 (%)")
    # As in the paper zero examples stand left of one; all stand right of the most.
    places = [*np.log2(SHOTS) + 1, np.log2(SHOTS[-1]) + 2.5]
    medians = [100 * one["median"] for one in shots]
    right.plot(places, medians, marker="o", color=COLOUR, label="linear probe, median")
    right.fill_between(
        places,
        [100 * one["least"] for one in shots],
        [100 * one["most"] for one in shots],
        color=COLOUR,
        alpha=0.2,
        linewidth=0,
        label=f"least to most of {options.seeds} draws",
    )
    ensemble = next(100 * one["median"] for one in prompts if one["of"] == "ensemble default")
    right.plot(
        [0],
        [ensemble],
        marker="*",
        markersize=14,
        color=OTHER_COLOUR,
        linestyle="none",
        label="zero-shot, default ensemble",
    )
    right.axhline(ensemble, color=OTHER_COLOUR, linestyle=":")
    right.set_xticks([0, *places], ["0", *map(str, SHOTS), "all"])
    right.set(xlabel="labelled images of each label", ylabel="top-1 (%)")
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / f"{options.name}.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
