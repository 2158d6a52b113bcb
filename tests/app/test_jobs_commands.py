"""`beholder jobs`: what a terminal and a program see of long work, without a model in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from index import Database, JobQueue, migrate, sqlite_url


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobQueue]:
    """The jobs of the data folder that the commands work on."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(folder))
    database = Database(sqlite_url(folder / "beholder.db"))
    migrate(database)
    yield JobQueue(database)
    database.close()


def jobs(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of `beholder jobs …`."""
    result = CliRunner().invoke(cli, ["jobs", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def as_json(*arguments: str, status: int = 0) -> Any:
    """What the command prints for programs; progress is none of it."""
    code, shown, _ = jobs(*arguments, "--json")
    assert code == status
    return json.loads(shown)


def test_jobs_are_listed_shown_and_steered(queue: JobQueue) -> None:
    """Newest first, one a line; each command says what the job is like then."""
    assert jobs("list") == (0, "", "")
    first = queue.enqueue("reindex", {}, unit="images", turn="models")
    second = queue.enqueue("fine-tune", {}, unit="steps", turn="models")
    held = queue.claim("w")
    assert held is not None
    queue.report(held, "w", done=3, total=9)
    _, shown, _ = jobs("list")
    newest, oldest = shown.splitlines()
    assert newest.startswith(f"{second.id}  fine-tune  queued")
    assert newest.endswith(f"0/? steps  waiting for the reindex {first.id} to end")
    assert "3/9 images" in oldest
    assert [job["id"] for job in as_json("list", "--limit", "1")] == [second.id]
    assert as_json("show", first.id)["progress"] == {"done": 3, "total": 9, "unit": "images"}
    paused = as_json("pause", second.id)
    assert paused["paused"]["by"]
    assert "paused" in jobs("show", second.id)[1]
    assert as_json("resume", second.id)["paused"] is None
    assert as_json("cancel", second.id)["state"] == "cancelled"
    assert as_json("cancel", first.id)["cancel_requested"] is True
    assert "cancelling" in jobs("show", first.id)[1]
    code, shown, said = jobs("cancel", second.id)
    assert (code, shown) == (1, "")
    assert said.startswith("beholder: ")
    assert len(said.splitlines()) == 1
    assert jobs("show", "none")[0] == 1


def test_following_ends_with_the_job_and_tells_how_it_ended(queue: JobQueue) -> None:
    """Status 0 for one that succeeded, with what it could not do; 1 for any other."""
    good = queue.enqueue("import", {}, unit="files")
    held = queue.claim("w")
    assert held is not None
    failures = [{"filename": "a\nb.png", "reason": "it is empty"}]
    queue.finish(held, "w", "succeeded", message="done", result={"failures": failures})
    code, shown, said = jobs("follow", good.id)
    assert code == 0
    assert "succeeded" in shown
    assert "failed  a�b.png: it is empty" in said
    assert as_json("follow", good.id)["state"] == "succeeded"
    bad = queue.enqueue("import", {}, unit="files")
    queue.request_cancel(bad.id)
    assert jobs("follow", bad.id)[0] == 1
    assert as_json("follow", bad.id, status=1)["state"] == "cancelled"
