"""The table of kinds of jobs."""

from __future__ import annotations

from app.jobs import importing, reindex
from app.jobs.job_kind import JobKind

KINDS: dict[str, JobKind] = {kind.name: kind for kind in (importing.KIND, reindex.KIND)}
