"""A fine-tune that is stopped, taken over and cancelled in the middle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.api.tuning_schemas import FineTuneIn
from app.jobs import fine_tune
from app.jobs.progress import BEAT_SECONDS
from app.jobs.worker import Worker
from app.services import Services, open_services
from app.settings import Settings
from index import Cancelled, ImageName, Job, Reindexer, TableLine
from model.training.trainer import Trainer
from tests.index.uploading import an_upload
from tests.model import tiny
from tests.pictures import picture_bytes

COLOURS = {"red car": (230, 20, 20), "dog": (20, 200, 40), "cat": (30, 30, 230)}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Services with the tiny model and forty-two pairs."""
    tiny.write(tmp_path / "tiny.safetensors")
    settings = Settings(
        data_dir=tmp_path / "data", model=str(tmp_path / "tiny.safetensors"), threads=1
    )
    with open_services(settings) as opened:
        lines = []
        for number in range(42):
            name, colour = list(COLOURS.items())[number % len(COLOURS)]
            data = picture_bytes(colour, size=(32 + number, 40), seed=number)
            image = opened.indexer.add(an_upload(opened, data, f"{number}.png")).image
            lines.append(TableLine(number + 1, (ImageName("any", image.id),), (name,)))
        assert opened.pair_importer.run(lines).added == 42
        yield opened


def started(services: Services, **settings: Any) -> Job:
    """A fine-tune that takes long enough to be interrupted."""
    wanted = FineTuneIn(promote="never", **settings).model_dump(mode="json")
    return fine_tune.enqueue(services, wanted)


def test_stopped_fine_tune_goes_on_where_it_was(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker repeats no step that was saved, and ends with the same weights."""
    job = started(services, steps=600)
    first = Worker(services)
    save = Trainer.save

    def saved_and_stopped(trainer: Trainer) -> None:
        save(trainer)
        if trainer.step >= 100:
            first.stop()

    monkeypatch.setattr(Trainer, "save", saved_and_stopped)
    assert first.run_once()
    left = services.jobs.get(job.id)
    assert left.state == "queued"
    recorded = [record.data["step"] for record in services.jobs.records(job.id, after=0, limit=999)]
    assert recorded
    assert Worker(services).run_once()
    done = services.jobs.get(job.id)
    assert done.state == "succeeded", done.problem
    assert done.result is not None
    steps = [record.data["step"] for record in services.jobs.records(job.id, after=0, limit=999)]
    assert steps == sorted(set(steps))
    assert steps[: len(recorded)] == recorded
    again = started(services, steps=600)
    assert Worker(services).run_once()
    whole = services.jobs.get(again.id)
    assert whole.result is not None
    weights = [
        services.versions.get(result["model_version"]).fingerprint
        for result in (done.result, whole.result)
    ]
    assert weights[0] == weights[1]


def test_point_measured_before_an_end_without_checkpoint_is_told_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after the last checkpoint is measured again, and recorded once."""
    job = started(services, steps=60)
    save = Trainer.save

    def stopped(trainer: Trainer) -> None:
        if trainer.step == 40:
            raise Cancelled
        save(trainer)

    monkeypatch.setattr(Trainer, "save", stopped)
    assert Worker(services).run_once()
    assert services.jobs.get(job.id).state == "queued"
    monkeypatch.setattr(Trainer, "save", save)
    assert Worker(services).run_once()
    steps = [record.data["step"] for record in services.jobs.records(job.id, after=0)]
    assert steps == [20, 40, 60]


@pytest.mark.parametrize(
    ("what", "method"),
    [(Trainer, "save"), (Reindexer, "run")],
    ids=["while it trains", "while it embeds"],
)
def test_cancelled_fine_tune_leaves_nothing_behind(
    services: Services, monkeypatch: pytest.MonkeyPatch, what: type, method: str
) -> None:
    """No version, and no files of the run."""
    versions = services.versions.all()
    job = started(services, steps=100_000)
    original = getattr(what, method)

    def cancelled(*args: Any, **kwargs: Any) -> Any:
        services.jobs.request_cancel(job.id)
        time.sleep(2 * BEAT_SECONDS)
        return original(*args, **kwargs)

    monkeypatch.setattr(what, method, cancelled)
    assert Worker(services).run_once()
    assert services.jobs.get(job.id).state == "cancelled"
    assert services.versions.all() == versions
    assert not any(fine_tune.runs_folder(services).iterdir())


def test_stored_photo_that_is_gone_is_named_and_the_rest_is_learnt(services: Services) -> None:
    """The job ends as succeeded with errors."""
    gone = services.pairs.training_set().train[0]
    gone.path.unlink()
    job = started(services, steps=20)
    assert Worker(services).run_once()
    done = services.jobs.get(job.id)
    assert done.result is not None
    assert done.message.endswith("with 1 errors")
    assert done.result["failures"] == [
        {
            "image_id": gone.image_id,
            "filename": gone.filename,
            "reason": "No such file or directory",
        }
    ]
