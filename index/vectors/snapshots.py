"""Snapshots of a vector index: one safetensors file each, so that a start need not read all of SQL.

A snapshot is derived and may be lost. It is trusted only when its checksum, its model version and
its dimension fit; anything else raises SnapshotError, and the caller rebuilds from SQL.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import operator
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import SnapshotError
from index.vectors.base import Measured
from index.vectors.rows import room_for, untouched
from index.vectors.state import Built, State
from index.vectors.structure import Effort, Recipe
from model import replace_durably

FORMAT = "beholder-index-2"
ABANDONED_SECONDS = 3_600
SAFETENSORS_TYPES = {"int64": "I64", "float32": "F32", "float16": "F16", "uint8": "U8"}
TYPES = {"I64": np.int64, "F32": np.float32, "F16": np.float16, "U8": np.uint8}
MOST_HEADER_BYTES = 100_000
# What was read is hashed while it is in the processor's cache.
BYTES_AT_A_TIME = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An index as it was after change number `sequence`."""

    model_version: str
    sequence: int
    state: State


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor lies in a file, and what it is."""

    start: int
    shape: tuple[int, ...]
    dtype: type[Any]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @classmethod
    def of(cls, entry: Mapping[str, Any], first: int) -> _Place:
        """The place that an entry of a header tells, tensors beginning at `first`."""
        begin, end = entry["data_offsets"]
        shape = tuple(operator.index(size) for size in entry["shape"])
        place = cls(first + operator.index(begin), shape, TYPES[entry["dtype"]])
        if begin < 0 or min(shape) < 0 or place.size_bytes != end - begin:
            raise ValueError("a tensor's place does not fit its size")
        return place


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
        with path.open("rb", buffering=0) as file:
            facts, places = _described(file)
            sequence = int(facts["sequence"])
            checksum = facts.pop("sha256")
            if facts["format"] != FORMAT or facts["model_version"] != model_version:
                raise SnapshotError(path, "it is not a snapshot of this model version")
            if places["vectors"].shape != (*places["numbers"].shape, dimension):
                raise SnapshotError(path, f"its vectors do not have {dimension} components")
            if places["scales"].shape != places["numbers"].shape:
                raise SnapshotError(path, "it has another number of scales")
            tensors, seen = _loaded(file, facts, places)
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise SnapshotError(path, f"it can't be read ({error})") from error
    if checksum != seen:
        raise SnapshotError(path, "its checksum does not fit")
    numbers = tensors["numbers"][: places["numbers"].shape[0]]
    built = _built(facts["built"], tensors.get("structure"))
    return Snapshot(
        model_version, sequence, State(numbers, tensors["vectors"], tensors["scales"], built)
    )


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


def _described(file: FileIO) -> tuple[dict[str, str], dict[str, _Place]]:
    """The facts and the tensors' places in a file. Raises what malformed content leads to."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if length > min(size, MOST_HEADER_BYTES):
        raise ValueError("its header is too long")
    header = json.loads(file.read(length))
    facts = header.pop("__metadata__")
    places = {name: _Place.of(entry, 8 + length) for name, entry in header.items()}
    if any(place.start + place.size_bytes > size for place in places.values()):
        raise ValueError("it ends early")
    return facts, places


def _loaded(
    file: FileIO, facts: Mapping[str, str], places: Mapping[str, _Place]
) -> tuple[dict[str, NDArray[Any]], str]:
    """The tensors, rows with room for more, and the checksum of the file as it is.

    What was read is hashed while the next is read: on two cores a gigabyte takes half the time.
    """
    seen = _facts_seen(facts)
    tensors: dict[str, NDArray[Any]] = {}
    with ThreadPoolExecutor(1) as hashing:
        for name in sorted(places):
            place = places[name]
            count = place.shape[0] if name == "structure" else room_for(place.shape[0])
            tensors[name] = untouched((count, *place.shape[1:]), place.dtype)
            content = tensors[name].reshape(-1).view(np.uint8).data[: place.size_bytes]
            hashing.submit(seen.update, name.encode())
            file.seek(place.start)
            for start in range(0, len(content), BYTES_AT_A_TIME):
                piece = content[start : start + BYTES_AT_A_TIME]
                if file.readinto(piece) != len(piece):
                    raise ValueError("it ends early")
                hashing.submit(seen.update, piece)
    return tensors, seen.hexdigest()


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
    seen = _facts_seen(facts)
    for name in sorted(tensors):
        seen.update(name.encode())
        seen.update(tensors[name].data)
    return seen.hexdigest()


def _facts_seen(facts: Mapping[str, str]) -> hashlib._Hash:
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode())
