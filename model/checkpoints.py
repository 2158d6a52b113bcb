"""The model's own file: weights and all that is needed to use them, as one checked unit.

It is a safetensors file (a JSON header, then raw tensors; nothing in it can run code) whose
metadata holds the format version, the architecture, the preprocessing, the tokenizer, and the
SHA-256 of the whole file with the sixty-four digits of that very field set to zero.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.durable_files import write_durably
from model.errors import CheckpointDamaged, CheckpointMismatch, CheckpointNotFound
from model.preprocessing import Preprocessing
from model.tokenizers import Tokenizer
from model.zoo import CompactArchitecture

FORMAT = "beholder-1"
_MAXIMUM_HEADER_BYTES = 16_000_000
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as stored: `name` is the architecture's, tensors in the precision of the file."""

    name: str
    architecture: CompactArchitecture
    preprocessing: Preprocessing
    tokenizer: str
    tensors: Mapping[str, Tensor]


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> str:
    """Store in half precision under `path`, which always holds the old or the new file, whole.

    Gives the file's fingerprint.
    """
    metadata = {
        "format": FORMAT,
        "name": checkpoint.name,
        "architecture": json.dumps(checkpoint.architecture.to_dict()),
        "preprocessing": json.dumps(asdict(checkpoint.preprocessing)),
        "tokenizer": checkpoint.tokenizer,
        "sha256": _NO_DIGEST,
    }
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in checkpoint.tensors.items()
    }
    content = _in_fixed_order(save(tensors, metadata))
    digest = hashlib.sha256(content).hexdigest()
    content = content.replace(_digest_field(_NO_DIGEST), _digest_field(digest), 1)
    write_durably(path, content)
    return hashlib.sha256(content).hexdigest()


def read_checkpoint(path: Path) -> tuple[Checkpoint, str]:
    """The checkpoint at `path` and its fingerprint, the SHA-256 of the file.

    Raises CheckpointNotFound, or CheckpointDamaged when the file is cut short, altered, of another
    format or of a newer version of this one.
    """
    path = path.absolute()
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointNotFound(path) from error
    except OSError as error:
        raise CheckpointDamaged(path, "a readable file", error.strerror or "no file") from error
    metadata = _metadata(content, path)
    if metadata.get("format") != FORMAT:
        raise CheckpointDamaged(
            path, f"the format {FORMAT}", f"the format {metadata.get('format', 'of others')}"
        )
    _check_digest(content, metadata.get("sha256", ""), path)
    try:
        checkpoint = Checkpoint(
            name=metadata["name"],
            architecture=CompactArchitecture.from_dict(json.loads(metadata["architecture"])),
            preprocessing=_preprocessing(json.loads(metadata["preprocessing"])),
            tokenizer=metadata["tokenizer"],
            tensors=load(content),
        )
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointDamaged(path, "a complete header", repr(error)) from error
    return checkpoint, hashlib.sha256(content).hexdigest()


def build_model(checkpoint: Checkpoint) -> DualEncoder:
    """The modules with the checkpoint's weights in float32, in evaluation mode.

    Raises CheckpointMismatch that names every tensor missing, left over or of another shape.
    """
    with torch.device("meta"):
        model = checkpoint.architecture.build()
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = checkpoint.tensors
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        name for name, shape in expected.items() if name in found and found[name].shape != shape
    ]
    if missing or unexpected or misshapen:
        raise CheckpointMismatch(missing, unexpected, misshapen)
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in found.items()
    }
    model.load_state_dict(state, assign=True)
    return model.eval()


def build_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer, cutting at the text tower's context length."""
    return Tokenizer(checkpoint.tokenizer, checkpoint.architecture.text.positions)


def _in_fixed_order(content: bytes) -> bytes:
    """The same file with its metadata sorted; the library's order changes from run to run."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # The format wants tensors to start at a multiple of eight.
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _metadata(content: bytes, path: Path) -> dict[str, str]:
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > min(_MAXIMUM_HEADER_BYTES, len(content) - 8):
        raise CheckpointDamaged(path, "a safetensors file", "no whole header")
    try:
        header: Any = json.loads(content[8 : 8 + size])
        metadata = header["__metadata__"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointDamaged(path, "a safetensors file", "an unreadable header") from error
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointDamaged(path, "a safetensors file", "an unreadable header")
    return metadata


def _check_digest(content: bytes, digest: str, path: Path) -> None:
    field, zeroed = _digest_field(digest), _digest_field(_NO_DIGEST)
    position = content.find(field)
    computed = hashlib.sha256()
    if position >= 0 and len(field) == len(zeroed):
        view = memoryview(content)
        computed.update(view[:position])
        computed.update(zeroed)
        computed.update(view[position + len(field) :])
    if computed.hexdigest() != digest:
        raise CheckpointDamaged(
            path,
            f"the SHA-256 {digest} of its header",
            f"{computed.hexdigest()}, so it was altered",
        )


def _digest_field(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def _preprocessing(values: dict[str, Any]) -> Preprocessing:
    return Preprocessing(
        image_size=int(values["image_size"]),
        fit=values["fit"],
        mean=tuple(values["mean"]),
        deviation=tuple(values["deviation"]),
    )
