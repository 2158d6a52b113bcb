"""`beholder train fine-tune` and `beholder evaluate`, on a table of coloured pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from tests.model import tiny
from tests.model.training import tuning


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of labels with a split, and the tiny model beside it."""
    monkeypatch.setenv("BEHOLDER_THREADS", "1")
    photos = tuning.photos(tmp_path / "images", 32)
    lines = ["image\tsplit\tlabel"]
    for number, photo in enumerate(photos):
        split = "train" if number < 24 else "validation"
        lines.append(f"{photo.path.name}\t{split}\t{photo.captions[0]}")
    path = tmp_path / "labels.tsv"
    path.write_text("\n".join(lines) + "\n")
    tiny.write(tmp_path / "tiny.safetensors")
    return path


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command in this process."""
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_fine_tune_writes_weights_and_a_report_and_evaluate_judges_them(table: Path) -> None:
    """JSON on standard output alone; the status of an evaluation says whether it is better."""
    model, out = str(table.with_name("tiny.safetensors")), table.with_name("tuned.safetensors")
    options = ("--pairs", str(table), "--model", model, "--out", str(out), "--steps", "20")
    status, output, _ = invoke("train", "fine-tune", *options, "--json")
    assert status == 0
    made = json.loads(output)
    assert made["path"] == str(out)
    assert out.is_file()
    assert (Path(made["report"]) / "report.json").is_file()
    assert made["before"].keys() == made["after"].keys()
    judge = ("evaluate", "--pairs", str(table), "--against", model, "--model")
    status, output, _ = invoke(*judge, str(out), "--json")
    found = json.loads(output)
    assert status == (0 if found["passed"] else 1)
    assert {check["name"] for check in found["checks"]} == {"domain_recall", "agreement"}
    status, output, _ = invoke(*judge, model)
    assert status == 1
    assert "failed  Held-out photos named right" in output
    assert "passed  Everyday queries find what they found" in output


def test_what_cannot_be_trained_is_said_in_one_line(table: Path) -> None:
    """A wrong word ends with status 2, an unusable table with status 1; neither with a trace."""
    options = ("--pairs", str(table), "--out", str(table.with_name("out.safetensors")))
    status, _, error = invoke("train", "fine-tune", *options, "--trained", "everything")
    assert status == 2
    assert error == "beholder: What can be trained is heads, last_blocks, all, lora.\n"
    table.write_text("image\tlabel\ngone.png\tdog\n")
    status, _, error = invoke("train", "fine-tune", *options)
    assert status == 1
    assert "line 2: there is no image" in error
    assert error.count("\n") == 1
