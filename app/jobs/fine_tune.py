"""The job that makes a model version of the owner's pairs, and puts it in place if it is better.

It trains, registers the result, embeds every image by it, evaluates it against the live version,
and promotes it as far as it was asked to. What is done is kept, so that a worker that takes the job
over goes on from there.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.jobs import evaluate
from app.jobs.job_kind import MODEL_VERSIONS, JobKind
from app.jobs.progress import Progress
from app.reports import keep_report
from app.services import Services
from index import Cancelled, Conflict, Job, NotBetter, NotFound, stored_errors
from model import (
    AllowedFalls,
    FineTuned,
    FineTuneProgress,
    FineTuneSettings,
    TrainingError,
    fine_tune,
    replace_durably,
)

ORIGIN = "fine-tune"
# The name of the job's records that are points of its curves.
CURVE = "curve"
# A run that failed keeps its last checkpoint for so long.
FAILED_RUN_DAYS = 7
# What a stage of training counts, where it is not steps.
UNITS = {"photos": "images", "texts": "texts", "blend": "blends"}


def enqueue(services: Services, settings: dict[str, Any]) -> Job:
    """A waiting fine-tune with these settings, as the API takes them.

    Raises NotFound for the version to start from, TrainingError when the pairs are too few,
    DatabaseUnavailable.
    """
    start = settings["start"] or services.versions.live().id
    services.versions.get(start)
    check = services.pairs.check()
    if not check.is_trainable:
        errors = [finding.detail for finding in check.findings if finding.level == "error"]
        raise TrainingError(" ".join(errors))
    return KIND.enqueue(services, settings | {"start": start})


def run(services: Services, job: Job, progress: Progress) -> dict[str, Any]:
    """Do it. Raises Cancelled, ModelError, RetrievalError."""
    folder = runs_folder(services) / job.id
    _sweep(folder.parent)
    a_run = _Run(services, job, progress, folder)
    try:
        result = a_run.result()
    except Cancelled:
        if progress.job.cancel_requested:
            shutil.rmtree(folder, ignore_errors=True)
            a_run.discard_version()
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return result


def runs_folder(services: Services) -> Path:
    """Where runs keep their features and checkpoints until they end."""
    return services.settings.data_dir / "runs"


def _sweep(folder: Path) -> None:
    """Remove what runs that failed have left, once nobody will look at it any more."""
    oldest = time.time() - FAILED_RUN_DAYS * 86_400
    for left in folder.glob("*"):
        if left.stat().st_mtime < oldest:
            shutil.rmtree(left, ignore_errors=True)


class _Run:
    """One run, from what an earlier worker kept of it."""

    def __init__(self, services: Services, job: Job, progress: Progress, folder: Path) -> None:
        self.services = services
        self.job = job
        self.progress = progress
        self.folder = folder
        self.kept: dict[str, Any] = dict(progress.checkpoint or {})
        self.allowed = AllowedFalls(**job.arguments["allowed"])
        # A run that goes on from its last checkpoint measures once more what came after it.
        self.recorded = {
            (record.data["stage"], record.data["step"])
            for record in services.jobs.records(job.id, after=0)
            if record.name == CURVE
        }

    def result(self) -> dict[str, Any]:
        """Every phase that is not done yet, and what came of all."""
        if "model_version" not in self.kept:
            self._train()
        version_id = self.kept["model_version"]
        if "evaluation" not in self.kept:
            self._reindex(version_id)
            self._evaluate(version_id)
        promoted, message = self._promote(version_id)
        return {
            "model_version": version_id,
            "promoted": promoted,
            "message": message,
            "evaluation": self.kept["evaluation"],
            **self.kept["training"],
            "failed": len(self.kept["failures"]),
            "failures": self.kept["failures"],
        }

    def discard_version(self) -> None:
        """Leave nothing of a version that was made before the run was cancelled."""
        # Anyone may have discarded or promoted it meanwhile.
        with contextlib.suppress(NotFound, Conflict):
            if "model_version" in self.kept:
                self.services.versions.discard(self.kept["model_version"])

    def _train(self) -> None:
        arguments, services = self.job.arguments, self.services
        start = services.versions.get(arguments["start"])
        pairs = services.pairs.training_set()
        train, general = evaluate.divided(pairs.train, arguments["general_collection"])
        # General pairs on the held-out side are for the evaluation alone.
        validation, _ = evaluate.divided(pairs.validation, arguments["general_collection"])
        chosen = {
            name: arguments[name]
            for name in ("trained", "steps", "batch_size", "learning_rate", "seed")
            if arguments[name] is not None
        }
        done = fine_tune(
            FineTuneSettings(
                start=str(services.encoders.directory / start.weights),
                train=train,
                validation=validation,
                general=general,
                out=self.folder / "tuned.safetensors",
                run_folder=self.folder / "run",
                allowed=self.allowed,
                limits=services.settings.image_limits,
                **chosen,
            ),
            self._heard,
        )
        # Where the weights of versions lie: an encoder may remember where it was loaded from, and
        # the run's folder goes.
        weights = services.encoders.directory / f"{done.fingerprint}{done.path.suffix}"
        with stored_errors(weights):
            replace_durably(done.path, weights)
        version = services.versions.register(str(weights), origin=ORIGIN)
        self.kept["training"] = self._training_of(done, start.id) | evaluate.failures_of(
            done.unreadable, pairs
        )
        self.kept["model_version"] = version.id
        self.progress.keep(self.kept)
        keep_report(services.settings, version.id, done.report, pairs)
        metrics = {
            "job": self.job.id,
            "at": datetime.now(UTC).isoformat(),
            **{name: value for name, value in self.kept["training"].items() if name != "failures"},
        }
        services.versions.put_metrics(version.id, {"fine_tune": metrics})

    def _training_of(self, done: FineTuned, start: str) -> dict[str, Any]:
        report = json.loads((done.report / "report.json").read_text(encoding="utf-8"))
        return {
            "start": start,
            "trained": report["settings"]["trained"],
            "settings": report["settings"],
            "pairs": report["pairs"],
            "steps": done.steps,
            "seconds": round(done.seconds, 1),
            "stopped": done.stopped,
            "blend": done.share,
            "data_sha256": done.data_sha256,
        }

    def _reindex(self, version_id: str) -> None:
        def report(done: int, total: int) -> bool:
            return self.progress.report(done, total, unit="images", message="embedding images")

        done = self.services.reindexer.run(version_id, report, is_to_go_live=False)
        # The same file may have been missing for training already.
        known = {failure["image_id"] for failure in self.kept["training"]["failures"]}
        self.kept["not_embedded"] = [failure.image_id for failure in done.failures]
        self.kept["failures"] = [
            *self.kept["training"]["failures"],
            *(
                {"image_id": one.image_id, "filename": one.filename, "reason": one.reason}
                for one in done.failures
                if one.image_id not in known
            ),
        ][: evaluate.FAILURES_SHOWN]

    def _evaluate(self, version_id: str) -> None:
        def report(done: int, total: int) -> None:
            if self.progress.report(done, total, unit="images", message="comparing"):
                raise Cancelled

        evaluation, _ = evaluate.evaluate(
            self.services,
            version_id,
            self.services.versions.live().id,
            general_collection=self.job.arguments["general_collection"],
            allowed=self.allowed,
            report=report,
        )
        self.services.versions.put_metrics(version_id, {"evaluation": evaluation})
        self.kept["evaluation"] = evaluation
        self.progress.keep(self.kept)

    def _promote(self, version_id: str) -> tuple[bool, str]:
        wanted, against = self.job.arguments["promote"], self.kept["evaluation"]["against"]
        versions = self.services.versions
        if wanted == "never":
            return False, "succeeded; not promoted, as asked"
        if versions.get(version_id).state == "live":
            # Killed between the promotion and the end of the job.
            return True, "succeeded; promoted"
        try:
            versions.promote(
                version_id,
                is_forced=wanted == "always",
                instead_of=against,
                leaving_out=self.kept["not_embedded"],
            )
        except NotBetter as error:
            failed = next(check for check in error.checks if not check["passed"])
            return False, f"succeeded; not promoted: {failed['title'].lower()} did not hold"
        except Conflict as error:
            return False, f"succeeded; not promoted: {error}"
        return True, "succeeded; promoted"

    def _heard(self, heard: FineTuneProgress) -> None:
        if heard.figures is not None and heard.is_measured:
            point = (heard.stage, heard.figures["step"])
            if point not in self.recorded:
                self.progress.record(CURVE, {"stage": heard.stage, **heard.figures})
                self.recorded.add(point)
        unit = UNITS.get(heard.stage, "steps")
        if self.progress.report(heard.done, heard.total, unit=unit, message=heard.stage):
            raise Cancelled


KIND = JobKind("fine-tune", unit="steps", turn=MODEL_VERSIONS, run=run)
