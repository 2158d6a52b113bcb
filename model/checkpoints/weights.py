"""The named tensors of anyone's file, whatever kind of file it is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.checkpoints.pickles import ForeignName, Opaque, StoredTensor
from model.checkpoints.torch_files import ZIP_START, TorchFile, read_torch_file
from model.errors import CheckpointDamaged, CheckpointNotFound
from model.towers.transformer import Activation

EXPECTED = "weights: safetensors, a state dict of torch.save or a TorchScript archive"

# Where training scripts put the weights in what they save.
_PLACES = ("state_dict", "model_state_dict", "model")
# What wrappers of a model put before its names: DistributedDataParallel, torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")
_MAXIMUM_MODULES = 100_000

# What files of weights are called, safetensors before anything pickled.
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")

_PICKLE_START = b"\x80"
# First bytes of files that people mistake for weights.
_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS in place of the file (run `git lfs pull`)",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"\x89HDF": "an HDF5 file, as Keras writes",
    b"GGUF": "a GGUF file",
    b"\x1f\x8b": "a gzip archive",
    b"\x08\x07": "an ONNX model",
    b"\x08\x08": "an ONNX model",
    b"\x93NUMPY": "a NumPy array",
    b"{": "JSON text",
}


@dataclass(frozen=True, slots=True)
class Weights:
    """Named tensors, mapped from their file, and what else the file tells.

    `kind` says what the file is, for people. `activation` is None where the file does not tell.
    """

    path: Path
    kind: str
    tensors: Mapping[str, Tensor]
    activation: Activation | None = None


def read_weights(path: Path) -> Weights:
    """The weights in a file of safetensors, `torch.save` or `torch.jit.save`; nothing is run.

    What wrappers of a model put before the names is taken off.

    Raises CheckpointNotFound, or CheckpointDamaged that says what the file is instead.
    """
    path = path.absolute()
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError as error:
        raise CheckpointNotFound(path) from error
    except OSError as error:
        raise CheckpointDamaged(path, "a readable file", error.strerror or "no file") from error
    try:
        # First, since the size before its header may begin with any byte.
        if start[8:9] == b"{":
            return Weights(path, "a safetensors file", _unwrapped(mapped_tensors(path)))
        if start.startswith((ZIP_START, _PICKLE_START)):
            return _of_torch(path)
    except ForeignName as error:
        found = f"a pickle that names {error.name}, so nothing of it was read or run"
        raise CheckpointDamaged(path, EXPECTED, found) from error
    except (ValueError, SafetensorError, OSError) as error:
        raise CheckpointDamaged(path, EXPECTED, f"a file that can't be read ({error})") from error
    raise CheckpointDamaged(path, EXPECTED, _name_of(start))


def _name_of(start: bytes) -> str:
    if not start:
        return "an empty file"
    names = (name for prefix, name in _OTHERS.items() if start.startswith(prefix))
    return next(names, f"a file that begins with {start[:8].hex(' ')}")


def mapped_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped from it. Raises SafetensorError, OSError."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)


def _of_torch(path: Path) -> Weights:
    file = read_torch_file(path)
    if file.is_script:
        modules = _modules(file.content)
        return Weights(
            path,
            "a TorchScript archive",
            _unwrapped(_tensors_of(file, modules)),
            # The archives that people have are OpenAI's, and name what they compute.
            _activation(module.kind for _, module in modules) or "quick_gelu",
        )
    content = file.content if isinstance(file.content, dict) else {}
    place = next((name for name in _PLACES if isinstance(content.get(name), dict)), None)
    kind = f"a training checkpoint (its {place})" if place else "a state dict"
    state = Opaque(kind, content[place] if place else content)
    return Weights(path, kind, _unwrapped(_tensors_of(file, [("", state)])))


def _modules(content: Any) -> list[tuple[str, Opaque]]:
    """A TorchScript module and all modules in it, each behind the prefix of its names."""
    found: list[tuple[str, Opaque]] = []
    waiting = [("", content)]
    while waiting:
        prefix, module = waiting.pop()
        if not isinstance(module, Opaque) or len(found) > _MAXIMUM_MODULES:
            raise ValueError("it holds no module, or modules that hold each other")
        found.append((prefix, module))
        waiting += [
            (f"{prefix}{name}.", value)
            for name, value in module.attributes.items()
            if isinstance(value, Opaque)
        ]
    return found


def _tensors_of(file: TorchFile, modules: list[tuple[str, Opaque]]) -> dict[str, Tensor]:
    return {
        f"{prefix}{name}": file.tensor(value)
        for prefix, module in modules
        for name, value in module.attributes.items()
        if isinstance(value, StoredTensor)
    }


def _activation(kinds: Iterable[str]) -> Activation | None:
    """The activation that an archive's classes name."""
    names = {kind.rpartition(".")[2] for kind in kinds}
    if "QuickGELU" in names:
        return "quick_gelu"
    return "gelu" if "GELU" in names else None


def _unwrapped(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for wrapper in _WRAPPERS * 2:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): one for name, one in tensors.items()}
    return tensors
