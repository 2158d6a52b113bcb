"""The job that compares every image that was not compared yet with those it is nearest to."""

from __future__ import annotations

from typing import Any

from app.jobs.job_kind import JobKind
from app.jobs.progress import Progress
from app.services import Services
from index import Job

# Two at once would compare the same images.
DUPLICATES = "duplicates"


def run(services: Services, _job: Job, progress: Progress) -> dict[str, Any]:
    """Do it; gives the job's result. Raises what `DuplicateFinder.run` raises."""
    compared = services.duplicate_finder.run(progress.report)
    same = services.duplicates.page(grade="same", limit=1).total
    similar = services.duplicates.page(grade="similar", limit=1).total
    return {
        "compared": compared,
        "same": same,
        "similar": similar,
        "message": f"{compared} images compared, {same} groups of copies, {similar} of similar",
    }


KIND = JobKind("find-duplicates", unit="images", turn=DUPLICATES, run=run)
