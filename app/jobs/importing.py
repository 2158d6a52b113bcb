"""The job that adds folders of pictures which lie beside the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import FieldInvalid
from app.jobs.job_kind import IMPORT, JobKind
from app.jobs.progress import Progress
from app.services import Services
from index import Cancelled, Imported, Job, count_files

FAILURES_SHOWN = 1_000


def enqueue(services: Services, paths: list[str], collection: str) -> Job:
    """A waiting import of these files and folders.

    Raises FieldInvalid for a path that is not below an allowed root or is not there.
    """
    roots = [root.resolve() for root in services.settings.picture_roots]
    resolved = []
    for position, given in enumerate(paths):
        path = Path(given).resolve()
        if not any(path.is_relative_to(root) for root in roots):
            raise FieldInvalid(
                f"/paths/{position}", "give a path below a folder that BEHOLDER_PICTURE_ROOTS names"
            )
        if not path.exists():
            raise FieldInvalid(f"/paths/{position}", "there is no such file or folder")
        resolved.append(str(path))
    return KIND.enqueue(services, {"paths": resolved, "collection": collection})


def run(services: Services, job: Job, progress: Progress) -> dict[str, Any]:
    """Do it; gives the job's result. What is added is durable at once, so a second run goes on.

    Raises what `Importer.run` raises.
    """
    paths = [Path(path) for path in job.arguments["paths"]]
    total = count_files(paths)

    def report(imported: Imported) -> None:
        progress.report(imported.done, total)

    imported = services.importer.run(
        paths,
        collection=job.arguments["collection"],
        report=report,
        should_stop=lambda: progress.should_stop,
    )
    if progress.should_stop:
        raise Cancelled
    return {
        "created": imported.created,
        "exists": imported.exists,
        "failed": len(imported.refused),
        "failures": [
            {"filename": refusal.path, "reason": refusal.reason}
            for refusal in imported.refused[:FAILURES_SHOWN]
        ],
    }


KIND = JobKind("import", unit="files", turn=IMPORT, run=run)
