"""The table of kinds of jobs."""

from __future__ import annotations

from app.jobs import (
    add_model,
    evaluate,
    find_duplicates,
    fine_tune,
    importing,
    reindex,
    train_probe,
)
from app.jobs.job_kind import JobKind

KINDS: dict[str, JobKind] = {
    kind.name: kind
    for kind in (
        add_model.KIND,
        evaluate.KIND,
        find_duplicates.KIND,
        fine_tune.KIND,
        importing.KIND,
        reindex.KIND,
        train_probe.KIND,
    )
}
