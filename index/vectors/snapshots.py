"""Snapshots of a vector index: one safetensors file each, so that a start need not read all of SQL.

A snapshot is derived and may be lost. It is trusted only when its checksum, its model version and
its dimension fit; anything else raises SnapshotError, and the caller rebuilds from SQL.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from index.errors import SnapshotError

FORMAT = "beholder-index-1"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An index as it was after change number `sequence`: numbers (N,), vectors (N, D) float32."""

    model_version: str
    sequence: int
    numbers: NDArray[np.int64]
    vectors: NDArray[np.float32]


def write(path: Path, snapshot: Snapshot) -> None:
    """Replace the file at `path` by this snapshot, wholly or not at all. Raises SnapshotError.

    The vectors are kept as float16, as SQL keeps them.
    """
    numbers = np.ascontiguousarray(snapshot.numbers)
    vectors = np.ascontiguousarray(snapshot.vectors, dtype=np.float16)
    content = save(
        {"numbers": numbers, "vectors": vectors},
        metadata={
            "format": FORMAT,
            "model_version": snapshot.model_version,
            "sequence": str(snapshot.sequence),
            "sha256": _checksum(snapshot.model_version, snapshot.sequence, numbers, vectors),
        },
    )
    temporary = path.with_name(f"{path.name}.{os.getpid()}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # The folder may be what fails; the error that matters is the first.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise SnapshotError(path, error.strerror or str(error)) from error


def read(path: Path, *, model_version: str, dimension: int) -> Snapshot:
    """The snapshot at `path`. Raises SnapshotError if it is absent, damaged or of another model."""
    try:
        with safe_open(path, framework="numpy") as file:
            described = file.metadata() or {}
            numbers = file.get_tensor("numbers")
            stored = file.get_tensor("vectors")
        sequence = int(described["sequence"])
        checksum = described["sha256"]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise SnapshotError(path, f"it can't be read ({error})") from error
    if described.get("format") != FORMAT or described.get("model_version") != model_version:
        raise SnapshotError(path, "it is not a snapshot of this model version")
    if stored.shape != (len(numbers), dimension):
        raise SnapshotError(path, f"it holds {stored.shape} instead of (N, {dimension})")
    if checksum != _checksum(model_version, sequence, numbers, stored):
        raise SnapshotError(path, "its checksum does not fit")
    vectors = stored.astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Snapshot(model_version, sequence, numbers, vectors)


def set_aside(path: Path) -> Path | None:
    """Rename a file that can't be trusted, so that it can be looked at; gives its new name."""
    if not path.exists():
        return None
    aside = path.with_name(path.name + ".damaged")
    with contextlib.suppress(OSError):
        path.replace(aside)
        return aside
    return None


def _checksum(
    model_version: str, sequence: int, numbers: NDArray[np.int64], vectors: NDArray[np.float16]
) -> str:
    seen = hashlib.sha256(f"{model_version}\n{sequence}\n".encode())
    seen.update(numbers.data)
    seen.update(vectors.data)
    return seen.hexdigest()
