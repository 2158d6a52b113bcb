"""Snapshots: wholly there or not at all, and trusted only when they fit."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from index.errors import SnapshotError
from index.vectors import snapshots
from index.vectors.faiss_index import FaissIndex
from index.vectors.snapshots import Snapshot
from index.vectors.state import State
from tests.index.vector_indexes import (
    DIMENSION,
    as_stored,
    assert_equals_brute_force,
    empty_index,
    numbered,
    unit_vectors,
)


def a_snapshot(sequence: int = 7, seed: int = 1) -> Snapshot:
    """Thirty vectors of eight components."""
    vectors = np.random.default_rng(seed).normal(size=(30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scales = np.ones(30, dtype=np.float32)
    state = State(np.arange(100, 130, dtype=np.int64), vectors.astype(np.float16), scales)
    return Snapshot("v1", sequence, state)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Numbers and vectors come back bit for bit."""
    path = tmp_path / "index" / "v1.safetensors"
    snapshots.write(path, a_snapshot())
    read = snapshots.read(path, model_version="v1", dimension=8)
    assert read.sequence == 7
    np.testing.assert_array_equal(read.state.numbers, a_snapshot().state.numbers)
    np.testing.assert_array_equal(read.state.stored[:30], a_snapshot().state.stored)
    assert read.state.built is None
    assert [file.name for file in path.parent.iterdir()] == ["v1.safetensors"]


def test_an_empty_index_has_a_snapshot_too(tmp_path: Path) -> None:
    """A store whose last image was deleted starts from its snapshot."""
    nothing = np.empty(0, dtype=np.float32)
    state = State(nothing.astype(np.int64), np.empty((0, 8), dtype=np.float16), nothing)
    snapshots.write(tmp_path / "s", Snapshot("v1", 3, state))
    read = snapshots.read(tmp_path / "s", model_version="v1", dimension=8)
    assert len(read.state.numbers) == 0


@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw"])
def test_an_index_comes_back_with_its_structure(tmp_path: Path, kind: str) -> None:
    """A restart need not learn or link anything again, and removed images stay removed."""
    index = empty_index(kind)
    vectors = unit_vectors(60, 5)
    index.put(np.arange(60, dtype=np.int64), vectors)
    index.remove(np.arange(10, dtype=np.int64))
    snapshots.write(tmp_path / "s", Snapshot("v1", 3, index.state()))
    read = snapshots.read(tmp_path / "s", model_version="v1", dimension=DIMENSION)
    again = FaissIndex.restored(DIMENSION, read.state)
    described, before = again.describe(), index.describe()
    assert (described.kind, described.size, described.removed, described.parameters) == (
        (before.kind, before.size, before.removed, before.parameters)
    )
    assert described.measured == before.measured
    again.put(numbered(70), vectors[:1])
    expected = dict(enumerate(as_stored(vectors)))
    expected = {n: v for n, v in expected.items() if n >= 10} | {70: expected[0]}
    assert_equals_brute_force(again, expected, unit_vectors(3, 6), 10)


@pytest.mark.parametrize("damage", ["flipped byte", "cut", "empty", "random", "absent", "folder"])
def test_a_damaged_snapshot_is_refused(tmp_path: Path, damage: str) -> None:
    """No damage to the file gives wrong vectors: it gives a SnapshotError."""
    path = tmp_path / "s"
    snapshots.write(path, a_snapshot())
    content = bytearray(path.read_bytes())
    if damage == "flipped byte":
        content[-5] ^= 0x10
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "random":
        path.write_bytes(os.urandom(5_000))
    else:
        path.unlink()
        if damage == "folder":
            path.mkdir()
    with pytest.raises(SnapshotError):
        snapshots.read(path, model_version="v1", dimension=8)


@pytest.mark.parametrize(("version", "dimension"), [("v2", 8), ("v1", 16)])
def test_a_snapshot_of_another_model_is_refused(
    tmp_path: Path, version: str, dimension: int
) -> None:
    """Each version has its own vectors, even where the dimension is the same."""
    snapshots.write(tmp_path / "s", a_snapshot())
    with pytest.raises(SnapshotError):
        snapshots.read(tmp_path / "s", model_version=version, dimension=dimension)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """Wherever a bit changes, the snapshot is refused or unchanged in meaning."""
    path = tmp_path / "s"
    snapshots.write(path, a_snapshot())
    content = path.read_bytes()
    honest = snapshots.read(path, model_version="v1", dimension=8)
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    for position in [*range(header_bytes), *range(header_bytes, len(content), 25)]:
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        try:
            read = snapshots.read(path, model_version="v1", dimension=8)
        except SnapshotError:
            continue
        np.testing.assert_array_equal(read.state.numbers, honest.state.numbers)
        np.testing.assert_array_equal(read.state.stored, honest.state.stored)
        assert read.sequence == honest.sequence


def test_a_failed_write_leaves_the_old_snapshot(tmp_path: Path) -> None:
    """What can't be written replaces nothing and leaves nothing half done."""
    path = tmp_path / "s"
    snapshots.write(path, a_snapshot(sequence=1))
    (tmp_path / f"s.{os.getpid()}.writing").mkdir()
    with pytest.raises(SnapshotError):
        snapshots.write(path, a_snapshot(sequence=2))
    assert snapshots.read(path, model_version="v1", dimension=8).sequence == 1


def test_a_snapshot_read_while_another_is_written_is_the_old_or_the_new(tmp_path: Path) -> None:
    """Readers beside a writer see whole snapshots: numbers, vectors and sequence of one of them."""
    path = tmp_path / "s"
    snapshots.write(path, a_snapshot(0, 0))
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            snapshots.write(path, a_snapshot(turn % 5, turn % 5))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(40):
            read = snapshots.read(path, model_version="v1", dimension=8)
            honest = a_snapshot(read.sequence, read.sequence).state
            np.testing.assert_array_equal(read.state.stored[:30], honest.stored)
    finally:
        stop.set()
        writer.join()


def test_a_full_disk_leaves_the_old_snapshot(tmp_path: Path) -> None:
    """When the file can't grow, the one before stays, the reason is told, and nothing is left."""
    path = tmp_path / "s"
    snapshots.write(path, a_snapshot(sequence=1))
    vectors = np.ones((9_000, 8), dtype=np.float16)
    large = State(np.arange(9_000, dtype=np.int64), vectors, vectors[:, 0].astype(np.float32))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(SnapshotError, match="large"):
            snapshots.write(path, Snapshot("v1", 2, large))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert snapshots.read(path, model_version="v1", dimension=8).sequence == 1
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    """A snapshot of a gigabyte that was never finished does not stay for ever."""
    path = tmp_path / "s"
    left, fresh = tmp_path / "s.1.writing", tmp_path / "s.2.writing"
    for file in (left, fresh):
        file.write_bytes(b"half")
    os.utime(left, (1, 1))
    snapshots.write(path, a_snapshot())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s", "s.2.writing"]
