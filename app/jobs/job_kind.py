"""What a kind of job is: its name, what it counts, whom it waits for, and how it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.jobs.progress import Progress
from app.services import Services
from index import Job

# A reindex and a fine-tune wait for each other: each would replace what the other compares with,
# and both want all the memory there is. Promoting and rolling back are no jobs and wait for none.
MODEL_VERSIONS = "model-versions"
EVALUATION = "evaluation"
IMPORT = "import"


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job.

    `unit` is what its progress counts. Jobs of one `turn` run one after another, None runs at any
    time. `run` gives the job's result; it is called again, with what was kept, when the one before
    it died, and raises Cancelled when `Progress.report` says to stop. In a result, `failed` counts
    what could not be done and `message` is the job's last word; both may be absent.
    """

    name: str
    unit: str
    turn: str | None
    run: Callable[[Services, Job, Progress], dict[str, Any]]

    def enqueue(self, services: Services, arguments: dict[str, Any]) -> Job:
        """A new job of this kind, waiting. Raises DatabaseUnavailable."""
        return services.jobs.enqueue(self.name, arguments, unit=self.unit, turn=self.turn)
