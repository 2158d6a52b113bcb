"""Snapshots of a vector index: one safetensors file each, so that a start need not read all of SQL.

A snapshot is derived and may be lost. It is trusted only when its checksum, its model version and
its dimension fit; anything else raises SnapshotError, and the caller rebuilds from SQL.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from index.errors import SnapshotError
from index.vectors.base import Measured
from index.vectors.faiss_index import Built, State
from index.vectors.structure import Effort, Recipe
from model import replace_durably

FORMAT = "beholder-index-2"
ABANDONED_SECONDS = 3_600
SAFETENSORS_TYPES = {"int64": "I64", "float32": "F32", "float16": "F16", "uint8": "U8"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An index as it was after change number `sequence`."""

    model_version: str
    sequence: int
    state: State


def write(path: Path, snapshot: Snapshot) -> None:
    """Replace the file at `path` by this snapshot, wholly or not at all. Raises SnapshotError."""
    state = snapshot.state
    tensors: dict[str, NDArray[Any]] = {
        "numbers": np.ascontiguousarray(state.numbers),
        "vectors": np.ascontiguousarray(state.stored, dtype=np.float16),
        "scales": np.ascontiguousarray(state.scales, dtype=np.float32),
    }
    facts = {
        "format": FORMAT,
        "model_version": snapshot.model_version,
        "sequence": str(snapshot.sequence),
        "built": json.dumps(None),
    }
    if state.built is not None:
        tensors["structure"] = state.built.content
        facts["built"] = _facts(state.built)
    facts["sha256"] = _checksum(facts, tensors)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(_header(facts, tensors))
            for tensor in tensors.values():
                file.write(tensor.data)
        replace_durably(temporary, path)
        _clear_away(path)
    except OSError as error:
        # The folder may be what fails; the error that matters is the first.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise SnapshotError(path, error.strerror or str(error)) from error


def read(path: Path, *, model_version: str, dimension: int) -> Snapshot:
    """The snapshot at `path`. Raises SnapshotError if it is absent, damaged or of another model."""
    try:
        with safe_open(path, framework="numpy") as file:
            facts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        sequence = int(facts["sequence"])
        checksum = facts.pop("sha256")
        numbers, stored, scales = tensors["numbers"], tensors["vectors"], tensors["scales"]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise SnapshotError(path, f"it can't be read ({error})") from error
    if facts.get("format") != FORMAT or facts.get("model_version") != model_version:
        raise SnapshotError(path, "it is not a snapshot of this model version")
    if stored.shape != (len(numbers), dimension) or scales.shape != numbers.shape:
        raise SnapshotError(path, f"it holds {stored.shape} instead of (N, {dimension})")
    if checksum != _checksum(facts, tensors):
        raise SnapshotError(path, "its checksum does not fit")
    built = _built(facts["built"], tensors.get("structure"))
    return Snapshot(model_version, sequence, State(numbers, stored, scales, built))


def set_aside(path: Path) -> Path | None:
    """Rename a file that can't be trusted, so that it can be looked at; gives its new name."""
    if not path.exists():
        return None
    aside = path.with_name(path.name + ".damaged")
    with contextlib.suppress(OSError):
        path.replace(aside)
        return aside
    return None


def _clear_away(path: Path) -> None:
    """Remove what a killed process left half written; another may be writing just now."""
    for left in path.parent.glob(f"{path.name}.*.writing"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
                left.unlink()


def _header(facts: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """What a safetensors file begins with.

    The library's own writer wants every tensor as one more copy in memory, which is a gigabyte for
    a million images. https://huggingface.co/docs/safetensors/index#format
    """
    described: dict[str, Any] = {"__metadata__": dict(facts)}
    offset = 0
    for name, tensor in tensors.items():
        described[name] = {
            "dtype": SAFETENSORS_TYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    content = json.dumps(described).encode()
    # Padded, so that what follows is aligned in a file that is mapped.
    content += b" " * (-len(content) % 8)
    return len(content).to_bytes(8, "little") + content


def _facts(built: Built) -> str:
    measured = None
    if built.measured is not None:
        measured = {**asdict(built.measured), "at": built.measured.at.isoformat()}
    return json.dumps(
        {
            "recipe": asdict(built.recipe),
            "efforts": [asdict(effort) for effort in built.efforts],
            "measured": measured,
            "scanned_rows": built.scanned_rows,
        }
    )


def _built(facts: str, content: NDArray[np.uint8] | None) -> Built | None:
    described = json.loads(facts)
    if described is None or content is None:
        return None
    measured = described["measured"]
    if measured is not None:
        measured = Measured(**{**measured, "at": datetime.fromisoformat(measured["at"])})
    return Built(
        Recipe(**described["recipe"]),
        tuple(Effort(**effort) for effort in described["efforts"]),
        content,
        measured,
        described["scanned_rows"],
    )


def _checksum(facts: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> str:
    seen = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode())
    for name in sorted(tensors):
        seen.update(name.encode())
        seen.update(tensors[name].data)
    return seen.hexdigest()
