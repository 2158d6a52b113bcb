"""The job that embeds every image again and switches to the result."""

from __future__ import annotations

from typing import Any

from app.jobs.job_kind import MODEL_VERSIONS, JobKind
from app.jobs.progress import Progress
from app.services import Services
from index import Job

FAILURES_SHOWN = 1_000


def enqueue(services: Services, version_id: str | None, *, is_to_go_live: bool = True) -> Job:
    """A waiting reindex to this version, or to a fresh one of the configured model.

    Raises NotFound, Conflict when the version is live, NotBetter when it is not to go live by its
    last evaluation, CheckpointError, DatabaseUnavailable.
    """
    version = services.versions.to_build(
        version_id, services.settings.model, is_to_go_live=is_to_go_live
    )
    arguments = {"model_version": version.id, "promote": is_to_go_live}
    return KIND.enqueue(services, arguments)


def run(services: Services, job: Job, progress: Progress) -> dict[str, Any]:
    """Do it; gives the job's result. Raises what `Reindexer.run` raises."""
    done = services.reindexer.run(
        job.arguments["model_version"], progress.report, is_to_go_live=job.arguments["promote"]
    )
    services.versions.discard_superseded()
    return {
        "model_version": done.model_version,
        "embedded": done.embedded,
        "copied": done.copied,
        "failed": len(done.failures),
        "failures": [
            {"image_id": failure.image_id, "filename": failure.filename, "reason": failure.reason}
            for failure in done.failures[:FAILURES_SHOWN]
        ],
    }


KIND = JobKind("reindex", unit="images", turn=MODEL_VERSIONS, run=run)
