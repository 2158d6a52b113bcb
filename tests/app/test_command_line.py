"""The `beholder` command: help, exit codes, and output that a program or any terminal can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from app.cli import cli
from tests.pictures import picture_bytes

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "model" / "weights" / "compact.safetensors"
COMMANDS = sorted(get_command(cli).commands)  # type: ignore[attr-defined]


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command in this process."""
    result = CliRunner().invoke(cli, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def beholder(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command as a process of its own, its output into pipes."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env={**os.environ, "BEHOLDER_THREADS": "1", **environment},
        capture_output=True,
        check=False,
        timeout=900,
    )


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own for every command of the test."""
    folder = tmp_path / "data"
    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(folder))
    monkeypatch.setenv("BEHOLDER_THREADS", "1")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """Each says what it does and shows a line to type; options all have a sentence."""
    status, shown, _ = invoke(command, "--help")
    assert status == 0
    assert "Usage" in shown
    for name, leaf in leaves(get_command(cli).commands[command]):  # type: ignore[attr-defined]
        assert "Example" in (leaf.epilog or ""), name
        shown_options = [one for one in leaf.params if not getattr(one, "hidden", False)]
        assert all(getattr(option, "help", None) for option in shown_options), name


def leaves(command: Any) -> Iterator[tuple[str, Any]]:
    """The commands to type, below a group or alone."""
    if hasattr(command, "commands"):
        for inner in command.commands.values():
            yield from leaves(inner)
    else:
        yield command.name, command


def test_help_imports_no_torch() -> None:
    """Help is shown at once, since nothing heavy is loaded for it."""
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from app.cli import cli\n"
        f"for command in {COMMANDS!r}:\n"
        "    assert CliRunner().invoke(cli, [command, '--help']).exit_code == 0, command\n"
        "heavy = {'torch', 'faiss', 'fastapi', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "--limit", "0", "x"],
        ["search", "--limit", "1001", "x"],
        ["search", "--image", "/no/such/picture.png"],
        ["search", "\udcff"],
        ["search", "red", "--collection", "\udcff"],
        ["ingest"],
        ["ingest", "--report", "/no/such/folder/report.tsv", "."],
        ["ingest", "--collection", " ", "."],
        ["serve", "--port", "0"],
        ["serve", "--port", "70000"],
        ["worker", "--nice", "20"],
        ["nonsense"],
        ["search", "--nonsense", "x"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_two(
    data_dir: Path, arguments: list[str]
) -> None:
    """Nothing is opened or made for it."""
    status, shown, problem = invoke(*arguments)
    assert status == 2
    assert shown == "" or "Usage" in shown
    assert "Traceback" not in problem
    assert not data_dir.exists()


def test_what_cannot_be_done_ends_with_one_and_says_why_in_a_line(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A data folder that is a file, a database that is away, a model that is not there."""
    data_dir.write_bytes(b"")
    for command in (["search", "red"], ["ingest", "."], ["reindex"], ["worker"]):
        status, shown, problem = invoke(*command)
        assert (status, shown) == (1, "")
        (line,) = problem.strip().splitlines()
        assert str(data_dir) in line
        assert "BEHOLDER_DATA_DIR" in line
    data_dir.unlink()
    monkeypatch.setenv("BEHOLDER_DATABASE_WAIT_SECONDS", "0")
    monkeypatch.setenv("BEHOLDER_DATABASE_URL", "postgresql://user:hunter2@127.0.0.1:1/none")
    for command in (["migrate"], ["search", "red"]):
        status, shown, problem = invoke(*command)
        assert (status, shown) == (1, "")
        (line,) = problem.strip().splitlines()
        assert "database" in line
        assert "hunter2" not in line
    monkeypatch.delenv("BEHOLDER_DATABASE_URL")
    monkeypatch.setenv("BEHOLDER_MODEL", str(tmp_path / "none.safetensors"))
    status, shown, problem = invoke("search", "red")
    assert (status, shown) == (1, "")
    (line,) = problem.strip().splitlines()
    assert "none.safetensors" in line


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A folder with good, broken, hidden and oddly named files, which nobody may change."""
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    good = {
        b"red.png": picture_bytes(),
        b"deep/er/blue.png": picture_bytes((0, 0, 255)),
        b"deep/again.png": picture_bytes(),
        "日本 🦊.png".encode(): picture_bytes((0, 255, 0)),
        b"not \xff\xfe utf-8.png": picture_bytes(seed=3),
        b"[bold]brackets[" + b"x].png": picture_bytes(seed=4),
        b"line\nbreak\x1b[31m.png": picture_bytes(seed=5),
    }
    bad = {
        b"empty.jpg": b"",
        b"words.txt": b"no picture",
        b"cut\tshort.png": picture_bytes()[:300],
        b"bad \xff.svg": b"<svg/>",
    }
    hidden = {b".DS_Store": b"x", b".hidden/red.png": picture_bytes(seed=6)}
    for name, data in (good | bad | hidden).items():
        (folder / os.fsdecode(name)).write_bytes(data)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason="the weights are made by `beholder train compact`")
def test_a_tree_is_added_searched_and_reported(data_dir: Path, tree: Path, tmp_path: Path) -> None:
    """Odd names, refused files, a C locale and pipes: JSON is JSON and every line is a line."""
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    report = tmp_path / "refused.tsv"
    done = beholder("ingest", str(tree), "--json", "--report", str(report), LANG="C", LC_ALL="C")
    assert done.returncode == 0, done.stderr.decode()
    result = json.loads(done.stdout)
    assert result["created"] == 6
    assert result["exists"] == 1
    assert len(result["refused"]) == 4
    assert all(one["reason"] for one in result["refused"])
    lines = report.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "path\treason"
    assert len(lines) == 5
    assert all(len(line.split("\t")) == 2 for line in lines)
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before

    status, shown, problem = invoke("ingest", str(tree))
    assert status == 0
    assert shown.strip() == "0 added, 7 already there, 4 refused"
    assert "\x1b" not in problem.replace("\x1b[", "")

    done = beholder("search", "日本の狐 🦊", "--limit", "9", LANG="C", LC_ALL="C")
    assert done.returncode == 0, done.stderr.decode()
    table = done.stdout.decode("utf-8")
    for name in ("日本 🦊.png", "not �� utf-8.png", "[bold]brackets[x].png", "line�break�[31m.png"):
        assert name in table.replace("\n", "") or name in table
    assert "\x1b" not in table

    status, shown, _ = invoke("search", "word " * 400 + "[/red]", "--json", "--limit", "3")
    assert status == 0
    found = json.loads(shown)
    assert len(found["hits"]) == 3
    status, shown, problem = invoke("search", "word " * 400 + "[/red]")
    assert status == 0
    assert "cut" in problem
    status, shown, _ = invoke("search", "--image", str(tree / "red.png"), "--json")
    assert json.loads(shown)["hits"][0]["image"]["metadata"]["path"] in {
        "red.png",
        "deep/again.png",
    }
    status, _, problem = invoke("search", "--image", str(tree / "words.txt"))
    assert status == 1
    assert len(problem.strip().splitlines()) == 1
    status, shown, _ = invoke("search", "red", "--collection", "none")
    assert (status, shown.strip()) == (0, "Nothing found.")
    status, _, problem = invoke("search", " ")
    assert status == 1
    assert len(problem.strip().splitlines()) == 1
    status, shown, _ = invoke("reindex", "--json")
    assert status == 0
    assert json.loads(shown)["state"] == "succeeded"


def test_migrate_can_be_repeated(data_dir: Path) -> None:
    """The second time changes nothing."""
    assert invoke("migrate") == invoke("migrate")
