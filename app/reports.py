"""Reports of fine-tuned versions, kept in the data folder under the version's id."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Literal

from app.settings import Settings
from index import NotFound, TrainingPairs, stored_errors
from model import write_durably

Drawing = Literal["curves", "contact-sheet"]
DRAWINGS: tuple[Drawing, ...] = ("curves", "contact-sheet")
REPORT = "report.json"


def keep_report(settings: Settings, version_id: str, source: Path, pairs: TrainingPairs) -> None:
    """Keep a run's report as that of this version; photos become images. Raises StorageError."""
    folder = _folder(settings, version_id)
    report = json.loads((source / REPORT).read_text(encoding="utf-8"))
    images = {str(image.path): image.image_id for image in pairs.validation}
    for query in report["queries"]:
        query["image_id"] = images.get(query.pop("photo"))
    # Which photos were left out stands in the job's result, by image.
    report["unreadable"] = len(report["unreadable"])
    program = f"beholder {version_of('beholder')}"
    content = json.dumps({"model_version": version_id, "program": program, **report})
    with stored_errors(folder):
        for name in DRAWINGS:
            drawing = source / f"{name}.png"
            if drawing.is_file():
                write_durably(folder / drawing.name, drawing.read_bytes())
        write_durably(folder / REPORT, content.encode())


def read_report(settings: Settings, version_id: str) -> dict[str, Any]:
    """The report, with the addresses of its drawings. Raises NotFound."""
    try:
        text = (_folder(settings, version_id) / REPORT).read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound("report of a model version", version_id) from error
    report: dict[str, Any] = json.loads(text)
    report["urls"] = {
        name.replace("-", "_"): f"/v1/models/{version_id}/report/{name}.png"
        if (_folder(settings, version_id) / f"{name}.png").is_file()
        else None
        for name in DRAWINGS
    }
    return report


def drawing_of(settings: Settings, version_id: str, name: Drawing) -> Path:
    """The file of a drawing. Raises NotFound."""
    path = _folder(settings, version_id) / f"{name}.png"
    if not path.is_file():
        raise NotFound(f"{name} of a model version", version_id)
    return path


def remove_report(settings: Settings, version_id: str) -> None:
    """Remove a version's report, if it has one."""
    shutil.rmtree(_folder(settings, version_id), ignore_errors=True)


def _folder(settings: Settings, version_id: str) -> Path:
    # An id is what a stranger typed: only its own characters may reach the file system.
    safe = "".join(character for character in version_id if character.isalnum() or character == "-")
    return settings.data_dir / "reports" / (safe or "-")
