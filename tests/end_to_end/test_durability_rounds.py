"""The short form of the durability benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.durability import run


@pytest.mark.slow
def test_no_promise_is_broken_by_kills_at_random_moments(tmp_path: Path, database_url: str) -> None:
    """Acknowledged images stay, deleted ones stay away, and nobody appears from nowhere."""
    # With few images wanted, eight rounds are enough for deletions however the threads take turns.
    broken, known = run(
        tmp_path, rounds=8, seed=20261125, database_url=database_url, images_wanted=40
    )
    assert broken == []
    # A round in which nothing was promised would prove nothing.
    assert known.counts["upload"] > 10
    assert known.counts["delete"] > 0
    assert known.counts["cut off"] > 0
