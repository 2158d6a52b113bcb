"""The job that trains a probe on the stored pairs whose texts are labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

from app.jobs.job_kind import JobKind
from app.jobs.progress import Progress
from app.services import Services
from index import Cancelled, Job, probe_name
from model import TrainedProbe, check_probe_training_installed, train_probe

# One after another: two of one name would race for it, and each takes every core it gets.
PROBES = "probes"


def enqueue(
    services: Services, name: str, *, shots: int | None, seed: int, collection: str | None
) -> Job:
    """A waiting training of a probe of this name, on all pairs or on `shots` of each label.

    Raises TextRejected, TrainingError without scikit-learn, Conflict when the pairs name no two
    labels, DatabaseUnavailable.
    """
    check_probe_training_installed()
    arguments = {
        "name": probe_name(name),
        "shots": shots,
        "seed": seed,
        "collection": collection,
    }
    services.probes.labelled(collection=collection)
    return KIND.enqueue(services, arguments)


def run(services: Services, job: Job, progress: Progress) -> dict[str, Any]:
    """Do it; gives the job's result. Raises Cancelled, Conflict, TrainingError."""
    arguments = job.arguments

    def report(done: int, total: int) -> None:
        if progress.report(done, total, message="training"):
            raise Cancelled

    labelled = services.probes.labelled(collection=arguments["collection"])
    version = services.live.generation.version
    drawn = services.probes.examples(
        labelled, version, shots=arguments["shots"], seed=arguments["seed"]
    )
    trained = train_probe(
        drawn.train,
        drawn.held_out,
        fingerprint=version.fingerprint,
        seed=arguments["seed"],
        report=report,
    )
    details = details_of(trained, Counter(drawn.train.labels)) | {
        "source": "pairs",
        "shots": arguments["shots"],
        "seed": arguments["seed"],
        "collection": arguments["collection"],
    }
    services.probes.save(arguments["name"], trained.probe, details)
    return {
        "probe": arguments["name"],
        "model_version": version.id,
        **details,
        "images_with_several_labels": labelled.several,
        "texts_that_are_no_labels": labelled.rare,
        "images_not_embedded": drawn.missing,
        "message": told(arguments["name"], trained),
    }


def details_of(trained: TrainedProbe, images: Counter[str]) -> dict[str, Any]:
    """What is kept beside a probe's weights: what it was made of and how well it does."""
    return {
        "labels": [{"label": name, "images": images[name]} for name in trained.probe.labels],
        "accuracy": trained.accuracy,
        "strength": trained.strength,
        "examples": trained.examples,
        "held_out": trained.held_out,
        "tells_none_of_these": bool(len(trained.probe.calibration)),
    }


def told(name: str, trained: TrainedProbe) -> str:
    """What came of a training, in a line."""
    made = (
        f"the probe {name!r} tells {len(trained.probe.labels)} labels apart, "
        f"from {trained.examples} images"
    )
    if trained.accuracy is None:
        return f"{made}; too few to measure how well"
    return f"{made}; {trained.accuracy:.1%} of {trained.held_out} held-out ones are named right"


KIND = JobKind("train-probe", unit="fits", turn=PROBES, run=run)
