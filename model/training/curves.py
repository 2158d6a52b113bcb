"""The figures of a run by step, kept on disk beside its checkpoints."""

import json
from pathlib import Path
from typing import Any

from model.durable_files import write_durably


class Curves:
    """Points of all stages in order: a stage, a step, and figures by name.

    Attributes: `points`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.points: list[dict[str, Any]] = []
        try:
            self.points = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return

    def go_back(self, stage: str, step: int) -> None:
        """Forget what a run had written of a stage after the step that it goes on from."""
        self.points = [
            point for point in self.points if point["stage"] != stage or point["step"] <= step
        ]

    def add(self, stage: str, figures: dict[str, float]) -> None:
        """One more point."""
        self.points.append({"stage": stage, **figures})

    def save(self) -> None:
        """Write all points, old or new whatever happens meanwhile."""
        write_durably(self._file, json.dumps(self.points).encode())
