"""The program's own file: weights and all that is needed to use them, as one checked unit.

It is a safetensors file (a JSON header, then raw tensors; nothing in it can run code) whose
metadata holds the format version, the family and the architecture in it, the preprocessing, the
tokenizer, and the SHA-256 of the whole file with the sixty-four digits of that very field set to
zero.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.weights import mapped_tensors
from model.durable_files import writing_durably
from model.errors import CheckpointDamaged, CheckpointNotFound
from model.preprocessing import Preprocessing
from model.tokenizers import TokenizerSettings
from model.zoo import FAMILIES, CompactArchitecture

FORMAT = "beholder-1"
_MAXIMUM_HEADER_BYTES = 100_000_000
_CHUNK_BYTES = 4_000_000
_NO_DIGEST = "0" * 64

# The format's names of what tensors are made of.
_DTYPES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> str:
    """Store under `path`, which always holds the old or the new file, whole.

    Tensors keep their precision, and are copied one at a time. The same checkpoint gives the same
    bytes. Gives the file's fingerprint.
    """
    # The widest first, so that every tensor starts at a multiple of its element's size.
    names = sorted(
        checkpoint.tensors, key=lambda name: (-checkpoint.tensors[name].element_size(), name)
    )
    head = _head(checkpoint, names)
    digest = hashlib.sha256(head)
    for name in names:
        digest.update(_raw(checkpoint.tensors[name]))
    head = head.replace(_digest_field(_NO_DIGEST), _digest_field(digest.hexdigest()), 1)
    fingerprint = hashlib.sha256(head)
    with writing_durably(path) as file:
        file.write(head)
        for name in names:
            raw = _raw(checkpoint.tensors[name])
            fingerprint.update(raw)
            file.write(raw)
    return fingerprint.hexdigest()


def read_checkpoint(path: Path) -> tuple[Checkpoint, str]:
    """The checkpoint at `path` and its fingerprint, the SHA-256 of the file.

    Tensors are mapped from the file: what is changed in them never reaches it.

    Raises CheckpointNotFound, or CheckpointDamaged when the file is cut short, altered, of another
    format or of a newer version of this one.
    """
    path = path.absolute()
    try:
        with path.open("rb") as file:
            head = _read_head(file, path)
            metadata = _metadata(head, path)
            if metadata.get("format") != FORMAT:
                raise CheckpointDamaged(
                    path,
                    f"the format {FORMAT}",
                    f"the format {metadata.get('format', 'of others')}",
                )
            fingerprint = _checked_fingerprint(file, head, metadata.get("sha256", ""), path)
    except FileNotFoundError as error:
        raise CheckpointNotFound(path) from error
    except OSError as error:
        raise CheckpointDamaged(path, "a readable file", error.strerror or "no file") from error
    family = FAMILIES.get(metadata.get("family", CompactArchitecture.family))
    if family is None:
        raise CheckpointDamaged(
            path, f"a family of models out of {', '.join(FAMILIES)}", metadata["family"]
        )
    try:
        checkpoint = Checkpoint(
            name=metadata["name"],
            architecture=family.from_dict(json.loads(metadata["architecture"])),
            preprocessing=Preprocessing.from_dict(json.loads(metadata["preprocessing"])),
            tokenizer=TokenizerSettings.from_json(metadata["tokenizer"]),
            tensors=mapped_tensors(path),
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointDamaged(path, "a complete header", repr(error)) from error
    return checkpoint, fingerprint


def is_own(path: Path) -> bool:
    """Whether this is a file whose header says that it has the program's own format."""
    try:
        with path.open("rb") as file:
            return _metadata(_read_head(file, path), path).get("format", "").startswith("beholder-")
    except (OSError, CheckpointDamaged):
        return False


def _head(checkpoint: Checkpoint, names: list[str]) -> bytes:
    metadata = {
        "format": FORMAT,
        "name": checkpoint.name,
        "family": checkpoint.architecture.family,
        "architecture": json.dumps(checkpoint.architecture.to_dict()),
        "preprocessing": json.dumps(asdict(checkpoint.preprocessing)),
        "tokenizer": checkpoint.tokenizer.to_json(),
        "sha256": _NO_DIGEST,
    }
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        tensor = checkpoint.tensors[name]
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # The format wants tensors to start at a multiple of eight.
    return len(text).to_bytes(8, "little") + text


def _raw(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data


def _read_head(file: BinaryIO, path: Path) -> bytes:
    """The size of the header and the header itself."""
    size = file.read(8)
    length = int.from_bytes(size, "little")
    header = file.read(length) if length <= _MAXIMUM_HEADER_BYTES else b""
    if len(size) < 8 or len(header) < length:
        raise CheckpointDamaged(path, "a safetensors file", "no whole header")
    return size + header


def _metadata(head: bytes, path: Path) -> dict[str, str]:
    try:
        metadata = json.loads(head[8:])["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointDamaged(path, "a safetensors file", "an unreadable header") from error
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointDamaged(path, "a safetensors file", "an unreadable header")
    return metadata


def _checked_fingerprint(file: BinaryIO, head: bytes, digest: str, path: Path) -> str:
    """The SHA-256 of the file, of which `file` has read the head."""
    zeroed = hashlib.sha256(head.replace(_digest_field(digest), _digest_field(_NO_DIGEST), 1))
    fingerprint = hashlib.sha256(head)
    # Hashing lets go of the interpreter's lock: both take the time of one.
    with ThreadPoolExecutor(1) as beside:
        for chunk in _chunks(file):
            done = beside.submit(zeroed.update, chunk)
            fingerprint.update(chunk)
            done.result()
    if zeroed.hexdigest() != digest:
        raise CheckpointDamaged(
            path,
            f"the SHA-256 {digest} of its header",
            f"{zeroed.hexdigest()}, so it was altered",
        )
    return fingerprint.hexdigest()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _digest_field(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()
