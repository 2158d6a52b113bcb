"""The table of kinds of jobs."""

from __future__ import annotations

from app.jobs import reindex
from app.jobs.job_kind import JobKind

KINDS: dict[str, JobKind] = {kind.name: kind for kind in (reindex.KIND,)}
