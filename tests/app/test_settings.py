"""`BEHOLDER_*`: nonsense stops the start and is named, secrets are masked."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from app.cli import cli
from app.settings import Settings

NONSENSE = {
    "BEHOLDER_DATA_DIR": ["", "~nobody-of-this-name/data"],
    "BEHOLDER_DATABASE_URL": [
        "",
        "nonsense",
        "mysql://user:hunter2@host/db",
        "postgresql://user:hunter2@host:port/db",
        "oracle+hunter2://x",
    ],
    "BEHOLDER_MODEL": [""],
    "BEHOLDER_MODEL_ROOTS": ["", "/models", "{}", "[1]", '["/a"'],
    "BEHOLDER_HUB_MODELS": ["", "openai/*", "{}", "[1]"],
    "BEHOLDER_HUB_TOKEN": [""],
    "BEHOLDER_HUB_CACHE": [""],
    "BEHOLDER_HUB_ENDPOINT": ["", "hub.example", "file:///hub", "https://a b"],
    "BEHOLDER_HUB_OFFLINE": ["", "maybe"],
    "BEHOLDER_PICTURE_ROOTS": ["", "/photos", "{}", "[1]"],
    "BEHOLDER_MAX_BYTES": ["", "0", "-1", "many", "1e9", "50MB", "9" * 40],
    "BEHOLDER_MAX_PIXELS": ["0", "-1", "1.5", "9" * 40],
    "BEHOLDER_MAX_REQUEST_BYTES": ["0", "x"],
    "BEHOLDER_MAX_BATCH_FILES": ["0", "10001"],
    "BEHOLDER_LONG_TEXTS": ["", "keep"],
    "BEHOLDER_MAX_WAITING": ["0", "-5", "100001"],
    "BEHOLDER_MAX_UPLOADS_AT_ONCE": ["0", "x"],
    "BEHOLDER_THREADS": ["-1", "1025", "all"],
    "BEHOLDER_PRECISION": ["", "half", "8"],
    "BEHOLDER_WORKER": ["maybe", ""],
    "BEHOLDER_ROOT_PATH": ["photos", "/photos/", "/", "/a?b", "/a#b"],
    "BEHOLDER_DATABASE_WAIT_SECONDS": ["-1", "nan", "inf", "soon"],
    "BEHOLDER_LOG_FORMAT": ["xml", ""],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in NONSENSE.items() for value in values]
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line, status 2, no trace, and no part of a password."""
    monkeypatch.setenv("BEHOLDER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(cli, ["migrate"])
    assert result.exit_code == 2, result.output
    assert name in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "hunter2" not in result.output
    assert not (tmp_path / "data").exists()


def test_secrets_are_masked_wherever_settings_are_shown(tmp_path: Path) -> None:
    """A password is in what a child process gets, and in nothing that is logged."""
    url = "postgresql://user:hunter2@host/db"
    token = SecretStr("hf_hunter2")
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(url), hub_token=token)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), f"{settings!r}"):
        assert "hunter2" not in shown
    assert settings.as_environment()["BEHOLDER_DATABASE_URL"] == url
    assert settings.as_environment()["BEHOLDER_HUB_TOKEN"] == "hf_hunter2"
    assert settings.effective_database_url == url


def test_another_process_gets_these_very_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written into the environment is read back as the same, whatever it holds."""
    settings = Settings(
        data_dir=tmp_path / "a folder, with = signs",
        model="some/path",
        model_roots=(tmp_path / "one", tmp_path / "two"),
        max_waiting=7,
        worker=False,
        root_path="/photos",
        database_wait_seconds=1.5,
        log_format="json",
    )
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert read.effective_database_url == settings.effective_database_url
    assert read.model_dump(exclude={"database_url"}) == settings.model_dump(
        exclude={"database_url"}
    )


def test_every_setting_says_what_it_is_and_is_in_the_guide() -> None:
    """Each has a sentence, and the guide names it."""
    guide = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert f"BEHOLDER_{name.upper()}" in guide, name


def test_settings_cannot_be_changed_afterwards(tmp_path: Path) -> None:
    """They are read once, at the start."""
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ValidationError):
        settings.max_bytes = 1
