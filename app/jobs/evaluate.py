"""The job that compares a model version with another on held-out pairs and everyday queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.jobs.job_kind import EVALUATION, JobKind
from app.jobs.progress import Progress
from app.services import Services
from index import Cancelled, Job, MissingFile, PairedImage, TrainingPairs
from model import (
    AllowedFalls,
    CaptionedPhoto,
    ComparedPhotos,
    Comparison,
    Measures,
    UnreadablePhoto,
    Verdict,
    compare,
)

FAILURES_SHOWN = 1_000
# Enough of the owner's images for ten hits to say something about the whole.
GALLERY_IMAGES = 500


def enqueue(
    services: Services,
    version_id: str | None,
    against: str | None,
    *,
    general_collection: str | None,
    allowed: dict[str, float],
) -> Job:
    """A waiting evaluation of a version, by default the live one, against another, likewise.

    Raises NotFound, DatabaseUnavailable.
    """
    live = services.versions.live().id
    arguments = {
        "model_version": services.versions.get(version_id or live).id,
        "against": services.versions.get(against or live).id,
        "general_collection": general_collection,
        "allowed": allowed,
    }
    return KIND.enqueue(services, arguments)


def run(services: Services, job: Job, progress: Progress) -> dict[str, Any]:
    """Do it; the version's metrics have the result too. Raises Cancelled, NotFound, ModelError."""

    def report(done: int, total: int) -> None:
        if progress.report(done, total, message="comparing"):
            raise Cancelled

    version_id, against = job.arguments["model_version"], job.arguments["against"]
    evaluation, comparison = evaluate(
        services,
        version_id,
        against,
        general_collection=job.arguments["general_collection"],
        allowed=AllowedFalls(**job.arguments["allowed"]),
        report=report,
    )
    services.versions.put_metrics(version_id, {"evaluation": evaluation})
    return {
        "model_version": version_id,
        "against": against,
        "evaluation": evaluation,
        **failures_of(comparison.unreadable, services.pairs.training_set()),
    }


def evaluate(
    services: Services,
    version_id: str,
    against: str,
    *,
    general_collection: str | None,
    allowed: AllowedFalls,
    report: Callable[[int, int], None],
) -> tuple[dict[str, Any], Comparison]:
    """The evaluation as it stands in a version's metrics, and what it was made of.

    Raises NotFound, CheckpointError, DatabaseUnavailable, and what `report` raises.
    """
    versions, pairs = services.versions, services.pairs.training_set()
    validation, general = divided(pairs.validation, general_collection)
    comparison = compare(
        services.encoders.of(versions.get(against)).encoder,
        services.encoders.of(versions.get(version_id)).encoder,
        ComparedPhotos(
            validation=validation,
            general=general,
            gallery=_gallery(services),
            limits=services.settings.image_limits,
        ),
        allowed,
        report,
    )
    before, after = comparison.before, comparison.after
    return {
        "against": against,
        "at": datetime.now(UTC).isoformat(),
        "data_sha256": pairs.data_hash,
        "validation_images": comparison.validation_images,
        "validation_texts": comparison.validation_texts,
        "domain": measures_out(after.measures),
        "domain_before": measures_out(before.measures),
        "general": {
            "queries": comparison.queries,
            "images": comparison.images,
            "agreement": after.agreement,
            "pairs": comparison.general_images,
            "recall_at_10": _recall(after),
            "recall_at_10_before": _recall(before),
        },
        "gate": {
            "passed": comparison.passed,
            "checks": [asdict(check) for check in comparison.checks],
        },
    }, comparison


def divided(
    images: Sequence[PairedImage], general_collection: str | None
) -> tuple[list[CaptionedPhoto], list[CaptionedPhoto]]:
    """The owner's photos and the general ones, which lie in a collection of their own."""
    own: list[CaptionedPhoto] = []
    general: list[CaptionedPhoto] = []
    for image in images:
        is_general = general_collection is not None and image.collection == general_collection
        (general if is_general else own).append(CaptionedPhoto(image.path, image.texts))
    return own, general


def measures_out(measures: Measures | None) -> dict[str, Any] | None:
    """Measures as they go over the wire; None where there were no pairs."""
    return None if measures is None else asdict(measures)


def failures_of(unreadable: Sequence[UnreadablePhoto], pairs: TrainingPairs) -> dict[str, Any]:
    """The members of a job's result that name photos left out."""
    images = {image.path: image for image in (*pairs.train, *pairs.validation)}
    failures = []
    for photo in unreadable[:FAILURES_SHOWN]:
        image = images.get(photo.path)
        failures.append(
            {
                "image_id": image and image.image_id,
                "filename": image.filename if image else photo.path.name,
                "reason": photo.reason,
            }
        )
    return {"failed": len(unreadable), "failures": failures}


def _gallery(services: Services) -> list[Path]:
    """The newest images' files."""
    page = services.library.page(limit=GALLERY_IMAGES, cursor=None, where=None)
    paths = []
    for image in page.images:
        try:
            paths.append(services.library.file(image))
        except MissingFile:
            continue
    return paths


def _recall(verdict: Verdict) -> float | None:
    return None if verdict.general is None else verdict.general.recall_at_10


KIND = JobKind("evaluate", unit="images", turn=EVALUATION, run=run)
