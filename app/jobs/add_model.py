"""The job that fetches a model from the hub and registers it as a version."""

from __future__ import annotations

from typing import Any

from app.jobs.job_kind import JobKind
from app.jobs.progress import Progress
from app.model_sources import fetched
from app.services import Services
from index import Cancelled, Job
from model import HubName

_MEGABYTE = 1_000_000


def enqueue(
    services: Services, name: HubName, *, architecture: str | None, image_size: int | None
) -> Job:
    """A waiting download. Raises DatabaseUnavailable."""
    arguments = {"model": str(name), "architecture": architecture, "image_size": image_size}
    return KIND.enqueue(services, arguments)


def run(services: Services, job: Job, progress: Progress) -> dict[str, Any]:
    """Do it; gives the version. What was fetched before is not fetched again.

    Raises Cancelled, CheckpointError, StorageError, DatabaseUnavailable.
    """
    name = job.arguments["model"]

    def report(done: int, total: int) -> None:
        if progress.report(_megabytes(done), _megabytes(total), message=f"fetching {name}"):
            raise Cancelled

    kept = progress.checkpoint
    if kept is None:
        path = fetched(services.settings, name, report)
        version = services.versions.register(
            path,
            origin=name,
            architecture=job.arguments["architecture"],
            image_size=job.arguments["image_size"],
        )
        kept = {"model_version": version.id}
        progress.keep(kept)
    return kept | {"message": f"{kept['model_version']} is registered; a reindex fills it"}


def _megabytes(size: int) -> int:
    return -(-size // _MEGABYTE)


KIND = JobKind("add-model", unit="MB", turn=None, run=run)
