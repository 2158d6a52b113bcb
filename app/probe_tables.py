"""A probe trained on a table of pictures and labels that lie beside the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.bars import bars
from app.embedding_files import embed_files
from app.jobs.train_probe import details_of, told
from app.services import Services
from index import Refusal, probe_name
from model import CaptionedPhoto, ProbeExamples, draw_shots, read_split, train_probe


@dataclass(frozen=True, slots=True)
class MadeProbe:
    """What came of it: a document, a line, and the pictures that were left out."""

    result: dict[str, Any]
    message: str
    refused: Sequence[Refusal]


def train_on_table(
    services: Services, name: str, table: Path, *, shots: int | None, seed: int
) -> MadeProbe:
    """Embed the table's pictures by the live model, train, and keep the probe; with bars.

    Raises TextRejected, PairsError, TrainingError, QueueFull, DatabaseUnavailable.
    """
    kept = probe_name(name)
    train, held_out = read_split(table)
    generation = services.live.generation
    refused: list[Refusal] = []
    with bars() as progress:
        labelled = _labelled(train, refused)
        if shots is not None:
            places = draw_shots([label for _, label in labelled], shots, seed=seed)
            labelled = [labelled[place] for place in places]
        judged = _labelled(held_out, refused)
        embedding = progress.add_task("Embedding", total=len(labelled) + len(judged))
        fitting = progress.add_task("Training", total=None)

        def examples(photos: list[tuple[Path, str]]) -> ProbeExamples:
            found = embed_files(
                services,
                generation.queue,
                [path for path, _ in photos],
                lambda count: progress.advance(embedding, count),
            )
            refused.extend(found.refused)
            return ProbeExamples(found.vectors, tuple(photos[place][1] for place in found.places))

        learned, judges = examples(labelled), examples(judged)
        trained = train_probe(
            learned,
            judges,
            fingerprint=generation.version.fingerprint,
            seed=seed,
            report=lambda done, total: progress.update(fitting, completed=done, total=total),
        )
    details = details_of(trained, Counter(learned.labels)) | {
        "source": "table",
        "shots": shots,
        "seed": seed,
        "collection": None,
    }
    services.probes.save(kept, trained.probe, details)
    result = {
        "probe": kept,
        "model_version": generation.version.id,
        **details,
        "refused": [{"path": one.path, "reason": one.reason} for one in refused],
    }
    return MadeProbe(result, told(kept, trained), refused)


def _labelled(photos: Sequence[CaptionedPhoto], refused: list[Refusal]) -> list[tuple[Path, str]]:
    """Each photo with its label; those with several are refused."""
    labelled: list[tuple[Path, str]] = []
    for photo in photos:
        labels = set(photo.captions)
        if len(labels) > 1:
            refused.append(Refusal(str(photo.path), "it has several labels"))
        else:
            labelled.append((photo.path, photo.captions[0]))
    return labelled
