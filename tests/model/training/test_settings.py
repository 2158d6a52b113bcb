"""The recipe of the compact model and what a run refuses at once."""

from pathlib import Path

import pytest

from model import CompactSettings, TrainingError, train_compact


def test_a_run_without_pairs_is_refused(tmp_path: Path) -> None:
    """Nothing is computed and nothing is written when there is nothing to learn from."""
    settings = CompactSettings(pairs=(), out=tmp_path / "out", run_folder=tmp_path / "run")
    with pytest.raises(TrainingError, match="No table of pairs"):
        train_compact(settings, lambda _: None)
    assert list(tmp_path.iterdir()) == []
