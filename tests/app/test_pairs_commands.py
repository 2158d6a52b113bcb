"""`beholder pairs`: the same as the API, from a terminal or a program."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.pair_importing import write_atomically
from tests.pictures import picture_bytes


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command in this process."""
    result = CliRunner().invoke(cli, ["pairs", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own for every command of the test."""
    folder = tmp_path / "data"
    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(folder))
    monkeypatch.setenv("BEHOLDER_THREADS", "1")
    return folder


def test_pairs_go_in_are_seen_checked_and_come_out(tmp_path: Path) -> None:
    """Pictures beside the table and in a zip file; the export is read back; output is JSON only."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "red.png").write_bytes(picture_bytes())
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("blue.png", picture_bytes((0, 0, 255)))
    table = tmp_path / "pairs.csv"
    table.write_text("image,text\nred.png,a red square\nblue.png,a blue square\nno.png,x\n")
    status, shown, problems = invoke("import", str(table), str(tmp_path / "photos.zip"), "--json")
    assert status == 0, problems
    outcome = json.loads(shown)
    assert (outcome["added"], outcome["images_added"]) == (2, 2)
    assert [one["line"] for one in outcome["refused"]] == [4]
    status, shown, _ = invoke("list", "--json")
    assert {pair["text"] for pair in json.loads(shown)} == {"a red square", "a blue square"}
    out = tmp_path / "out.tsv"
    assert invoke("export", "--out", str(out))[0] == 0
    assert len(out.read_text().splitlines()) == 3
    status, shown, _ = invoke("import", str(out))
    assert (status, shown) == (0, "0 added, 2 already there, 0 refused, 0 images added\n")
    status, shown, _ = invoke("check", "--json")
    assert status == 1
    assert "too_few_pairs" in [finding["code"] for finding in json.loads(shown)["findings"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["import"],
        ["import", "/no/such/table.tsv"],
        ["import", "--format", "xml", "x.tsv"],
        ["import", "--collection", " ", "x.tsv"],
        ["list", "--limit", "0"],
        ["list", "--split", "test"],
        ["export", "--format", "csv"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_two(
    data_dir: Path, arguments: list[str]
) -> None:
    """Nothing is opened or made for it."""
    status, _, problem = invoke(*arguments)
    assert status == 2
    assert "Traceback" not in problem
    assert not data_dir.exists()


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """What was there before stays when writing fails, and nothing else is left."""
    path = tmp_path / "pairs.tsv"
    path.write_text("before")

    def failing() -> object:
        yield "half a line"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"):
        write_atomically(path, failing())  # type: ignore[arg-type]
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["pairs.tsv"]
