"""What is left to look at after a fine-tune: figures, curves, and queries before and after.

In the report's folder: `report.json`, `curves.png` where matplotlib is installed, and
`contact-sheet.png` where there are held-out pairs.

Shape letters: P held-out photos, M their texts, E embedding width.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.durable_files import write_durably
from model.training.contact_sheet import SheetRow, contact_sheet
from model.training.fine_tuning_settings import FineTuned, FineTuneSettings
from model.training.measures import Measures
from model.training.tuning_corpus import PhotoSet, TuningCorpus

REPORT, CURVES, CONTACT_SHEET = "report.json", "curves.png", "contact-sheet.png"
_QUERIES = 12
_HITS = 5

# Unit rows of the held-out photos, (P, E), and of their texts, (M, E).
HeldOut = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ShownQuery:
    """A held-out text, one of its photos, and the rank of its best photo before and after."""

    text: str
    photo: Path
    rank_before: int
    rank_after: int


def write_report(
    run: FineTuned,
    settings: FineTuneSettings,
    corpus: TuningCorpus,
    found: tuple[HeldOut | None, HeldOut | None],
    curves: Sequence[Mapping[str, Any]],
) -> None:
    """Write the report's files into `run.report`; `found` is before and after training."""
    before, after = found
    rows: list[SheetRow] = []
    queries: list[ShownQuery] = []
    if corpus.validation is not None and before is not None and after is not None:
        rows, queries = _queries(corpus.validation, before, after)
        sheet = contact_sheet(rows, settings.limits)
        write_durably(run.report / CONTACT_SHEET, sheet)
    if drawn := draw_curves(curves):
        write_durably(run.report / CURVES, drawn)
    content = json.dumps(report_of(run, settings, corpus, queries, curves), indent=1)
    # Last: where it is, the pictures are too.
    write_durably(run.report / REPORT, content.encode())


def report_of(
    run: FineTuned,
    settings: FineTuneSettings,
    corpus: TuningCorpus,
    queries: Sequence[ShownQuery],
    curves: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The report as plain values."""
    validation = corpus.validation
    return {
        "data_sha256": run.data_sha256,
        "fingerprint": run.fingerprint,
        "settings": {
            # The name alone: strangers read the report, and need not know the server's folders.
            "start": Path(settings.start).name,
            "trained": settings.trained,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "seed": settings.seed,
            "hold": asdict(settings.hold),
            "allowed": asdict(settings.allowed),
        },
        "pairs": {
            "train_images": len(corpus.train.photos),
            "train_texts": len(corpus.train.pairing.texts),
            "validation_images": 0 if validation is None else len(validation.photos),
            "validation_texts": 0 if validation is None else len(validation.pairing.texts),
        },
        "steps": run.steps,
        "seconds": round(run.seconds, 1),
        "stopped": run.stopped,
        "blend": run.share,
        "before": measures_of(run.before.measures),
        "after": measures_of(run.after.measures),
        "agreement": run.after.agreement,
        "blends": [{"share": blend.share, **blend.verdict.figures()} for blend in run.blends],
        "curves": list(curves),
        "queries": [
            {
                "text": query.text,
                "photo": str(query.photo),
                "rank_before": query.rank_before,
                "rank_after": query.rank_after,
            }
            for query in queries
        ],
        "unreadable": [{"photo": str(one.path), "reason": one.reason} for one in run.unreadable],
    }


def measures_of(measures: Measures | None) -> dict[str, Any] | None:
    """Measures as plain values."""
    return None if measures is None else asdict(measures)


def draw_curves(curves: Sequence[Mapping[str, Any]]) -> bytes | None:
    """A PNG of loss and held-out figures by step; None without matplotlib or points."""
    if not curves or find_spec("matplotlib") is None:
        return None
    # An optional package, and slow to import.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, figures = figure.subplots(1, 2)
    steps = list(range(1, len(curves) + 1))
    losses.plot(steps, [point["loss"] for point in curves], color="#4269d0")
    losses.set(xlabel="step", ylabel="loss")
    for name in ("zero_shot_top_1", "recall_at_1", "recall_at_10", "agreement"):
        known = [
            (step, point[name]) for step, point in zip(steps, curves, strict=True) if name in point
        ]
        if known:
            figures.plot(*zip(*known, strict=True), label=name.replace("_", " "), marker=".")
    figures.set(xlabel="step", ylabel="share", ylim=(0, 1.02))
    figures.legend(frameon=False)
    for axes in (losses, figures):
        axes.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, dpi=110, format="png")
    return content.getvalue()


def _queries(
    photos: PhotoSet, before: HeldOut, after: HeldOut
) -> tuple[list[SheetRow], list[ShownQuery]]:
    owners = photos.pairing.owners()
    # Evenly over all texts: chosen by nothing, so neither by how well they do.
    chosen = np.linspace(0, len(owners) - 1, min(_QUERIES, len(owners))).astype(int).tolist()
    rows, queries = [], []
    for text in dict.fromkeys(chosen):
        (order_before, rank_before), (order_after, rank_after) = (
            _ranked(images @ texts[text], owners[text]) for images, texts in (before, after)
        )
        words = photos.pairing.texts[text]
        own = set(owners[text])
        shown = [
            [(photos.photos[photo].path, photo in own) for photo in order[:_HITS]]
            for order in (order_before, order_after)
        ]
        rows.append(SheetRow(words, shown[0], shown[1]))
        queries.append(
            ShownQuery(words, photos.photos[owners[text][0]].path, rank_before, rank_after)
        )
    return rows, queries


def _ranked(scores: NDArray[np.float32], right: Sequence[int]) -> tuple[list[int], int]:
    order = np.argsort(-scores, kind="stable")
    rank = 1 + int((scores > scores[list(right)].max()).sum())
    return order.tolist(), rank
