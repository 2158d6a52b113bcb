"""`beholder backup`, `restore` and `verify --repair` as they are typed."""

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


def test_a_store_goes_into_a_backup_and_comes_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command says what it did, as JSON too, and its status tells whether all is well."""
    monkeypatch.setenv("BEHOLDER_THREADS", "1")
    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "red.png").write_bytes(picture_bytes())
    assert invoke("ingest", str(tmp_path / "red.png"))[0] == 0
    backup = str(tmp_path / "backup")
    status, shown, _ = invoke("backup", backup, "--json")
    assert (status, json.loads(shown)["files_copied"]) == (0, 1)
    status, shown, _ = invoke("backup", backup, "--quick")
    assert status == 0
    assert shown.startswith("1 images: 0 files copied")

    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(tmp_path / "new"))
    status, _, error = invoke("restore", str(tmp_path / "nothing"))
    assert status == 1
    assert error.splitlines()[-1].startswith("beholder: The backup ")
    status, shown, _ = invoke("restore", backup, "--json")
    assert (status, json.loads(shown)["images"]) == (0, 1)
    (file,) = (path for path in (tmp_path / "new" / "blobs").rglob("*") if path.is_file())
    file.write_bytes(b"damaged")
    status, shown, _ = invoke("verify", "--json")
    (found,) = json.loads(shown)["disagreements"]
    assert (status, found["kind"]) == (1, "file damaged")
    status, shown, _ = invoke("verify", "--repair")
    assert status == 1
    assert "upload the same picture again" in shown
    assert invoke("ingest", str(tmp_path / "red.png"))[0] == 0
    assert invoke("verify", "--repair")[0] == 0
