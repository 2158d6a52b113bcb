"""`beholder duplicates`: the same as the API, from a terminal or a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from tests.pictures import copies, encoded, scene


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command in this process."""
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_copies_are_found_shown_kept_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the shipped model; output is JSON only where it is asked for."""
    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BEHOLDER_THREADS", "1")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, content in zip("abc", copies(scene(1)), strict=True):
        (photos / name).write_bytes(content)
    (photos / "d").write_bytes(encoded(scene(2)))
    assert invoke("ingest", str(photos))[0] == 0
    status, shown, problem = invoke("duplicates", "find", "--json")
    assert status == 0, problem
    assert json.loads(shown)["result"]["same"] == 1
    (group,) = json.loads(invoke("duplicates", "list", "--json")[1])
    # They are added side by side, so in any order.
    assert {image["filename"] for image in group["images"]} == {"a", "b", "c"}
    ids = [image["id"] for image in group["images"]]
    assert invoke("duplicates", "keep", *ids[:2])[0] == 0
    assert invoke("duplicates", "delete", ids[2])[1] == "1 deleted\n"
    status, shown, problem = invoke("duplicates", "list")
    assert (status, shown) == (0, "")
    assert "0 groups" in problem
    status, _, problem = invoke("duplicates", "keep", ids[0], ids[2])
    assert status == 1
    assert len(problem.strip().splitlines()) == 1
