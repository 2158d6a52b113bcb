"""`beholder collections` and `beholder search --collection`: the same as the API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from tests.pictures import picture_bytes


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command in this process."""
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_collections_are_set_up_searched_renamed_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the shipped model; a refusal is one line and status 1, and nothing is lost by it."""
    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BEHOLDER_THREADS", "1")
    for name in "ab":
        photo = tmp_path / f"{name}.png"
        photo.write_bytes(picture_bytes(seed=ord(name)))
        assert invoke("ingest", str(photo), "--collection", name)[0] == 0

    status, shown, _ = invoke(
        "collections", "set", "b", "--named-only", "--closed", "--min-score", "0.2", "--json"
    )
    assert status == 0
    b = json.loads(shown)
    assert (b["searched_by_default"], b["accepts_uploads"], b["min_score"]) == (False, False, 0.2)
    shown = invoke("collections", "set", "b", "--any-score", "--json")[1]
    assert json.loads(shown) == b | {"min_score": None}
    shown = invoke("collections", "set", "new", "--description", "none yet", "--json")[1]
    assert json.loads(shown)["images"] == 0
    assert invoke("collections", "set", "b", "--any-score", "--min-score", "0")[0] == 2

    listed = json.loads(invoke("collections", "list", "--json")[1])
    assert [(one["name"], one["images"]) for one in listed] == [("a", 1), ("b", 1), ("new", 0)]
    lines = invoke("collections", "list")[1].splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["a", "b", "new"]
    assert "searched_by_default: False" in invoke("collections", "show", "b")[1]

    def found(*names: str) -> list[str]:
        options = [word for name in names for word in ("--collection", name)]
        hits = json.loads(invoke("search", "red", "--json", *options)[1])["hits"]
        return sorted(hit["image"]["collection"] for hit in hits)

    assert found() == ["a"]
    assert found("b") == ["b"]
    assert found("a", "b") == ["a", "b"]

    status, _, problem = invoke("ingest", str(tmp_path / "a.png"), "--collection", "b")
    assert status == 0
    assert "takes no uploads" in problem
    assert invoke("collections", "rename", "a", "c")[0] == 0
    for arguments in (
        ["rename", "a", "d"],
        ["rename", "c", "b"],
        ["show", "a"],
        ["delete", "c"],
        ["set", "../x"],
    ):
        status, shown, problem = invoke("collections", *arguments)
        assert (status, shown) == (1, "")
        assert len(problem.strip().splitlines()) == 1
    assert invoke("collections", "delete", "c", "--with-images")[1] == "1 images deleted\n"
    assert found("b", "c") == ["b"]
