"""Encoders are loaded once for their weights, whatever name they are asked for by."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from index import Encoders
from tests.fakes import ColourEncoder


@pytest.fixture
def loaded(tmp_path: Path) -> list[str]:
    """What has been loaded, in order."""
    return []


@pytest.fixture
def encoders(tmp_path: Path, loaded: list[str]) -> Iterator[Encoders]:
    """Encoders of files, whose fingerprints are their digests as those of checkpoints are."""

    def load(source: str) -> ColourEncoder:
        loaded.append(source)
        encoder = ColourEncoder(Path(source))
        encoder.fingerprint = hashlib.sha256(Path(source).read_bytes()).hexdigest()
        return encoder

    opened = Encoders(tmp_path, load)  # type: ignore[arg-type]
    yield opened
    opened.close()


def test_the_same_weights_are_loaded_once(
    encoders: Encoders, loaded: list[str], tmp_path: Path
) -> None:
    """A copy is known by its bytes; a file that was replaced is another model."""
    first, copy = tmp_path / "first", tmp_path / "copy"
    first.write_bytes(b"weights")
    shutil.copy(first, copy)
    queue = encoders.load(str(first))
    assert encoders.load(str(first)) is queue
    assert encoders.load(str(copy)) is queue
    assert loaded == [str(first)]
    first.write_bytes(b"other weights")
    assert encoders.load(str(first)) is not queue
    assert loaded == [str(first), str(first)]
