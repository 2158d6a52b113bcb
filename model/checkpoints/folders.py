"""What is alike in the folders of models: JSON within bounds, weights in parts, tokenizers."""

import json
from pathlib import Path
from typing import Any

from model.byte_pairs import adopt_tokenizer, byte_pair_tokenizer
from model.checkpoints.weights import Weights, read_weights
from model.errors import CheckpointDamaged, CheckpointUnsupported
from model.tokenizers import TokenizerSettings

_MAXIMUM_JSON_BYTES = 64_000_000


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises CheckpointDamaged for anything else."""
    try:
        if path.stat().st_size > _MAXIMUM_JSON_BYTES:
            raise CheckpointDamaged(path, "a JSON object", "a file of over 64 MB")
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointDamaged(path, "a JSON object", error.strerror or "no file") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointDamaged(path, "a JSON object", f"unreadable text ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointDamaged(path, "a JSON object", "other JSON")
    return values


def read_weights_of(folder: Path, names: tuple[str, ...]) -> Weights:
    """The weights in the first of these files, or of the parts that its index lists.

    Raises CheckpointDamaged when the folder has none of them.
    """
    for name in names:
        if (folder / name).is_file():
            return read_weights(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _read_parts(index)
    raise CheckpointDamaged(folder, f"one of {', '.join(names)}", "a folder without")


def read_tokenizer(folder: Path) -> TokenizerSettings | None:
    """The tokenizer in a folder; None where there is none. Raises CheckpointDamaged."""
    whole, vocabulary, merges = (
        folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt")
    )
    try:
        if whole.is_file():
            return adopt_tokenizer(whole.read_text(encoding="utf-8"))
        if vocabulary.is_file() and merges.is_file():
            lines = merges.read_text(encoding="utf-8").splitlines()
            pairs = [line.partition(" ")[::2] for line in lines if line and line[0] != "#"]
            return byte_pair_tokenizer(read_json(vocabulary), pairs)
    except CheckpointDamaged:
        raise
    except Exception as error:  # The library raises bare Exception for any malformed text.
        found = f"one that can't be read ({error})"
        raise CheckpointDamaged(folder, "a tokenizer", found) from error
    return None


def side(path: Path, size: Any) -> int:
    """The side of a square, however it is written.

    Raises CheckpointUnsupported for another shape, CheckpointDamaged for no size.
    """
    if isinstance(size, dict):
        sides = {size.get("height"), size.get("width")}
    else:
        sides = set(size) if isinstance(size, list) else {size}
    if len(sides) != 1:
        raise CheckpointUnsupported(path, "square pictures", f"the size {size}")
    return at_least_one(path, sides.pop())


def at_least_one(path: Path, value: Any) -> int:
    """A whole number above zero. Raises CheckpointDamaged for anything else."""
    if type(value) is not int or value < 1:
        raise CheckpointDamaged(path, "a whole number above zero", repr(value))
    return value


def _read_parts(index: Path) -> Weights:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(one, str) for one in places.values()):
        raise CheckpointDamaged(index, 'a "weight_map" of file names', "none")
    files = sorted(set(places.values()))
    if outside := [name for name in files if Path(name).name != name]:
        raise CheckpointDamaged(index, "files of its own folder", outside[0])
    parts = [read_weights(index.parent / name) for name in files]
    tensors = {name: one for part in parts for name, one in part.tensors.items()}
    return Weights(index, f"an index of {len(files)} files", tensors)
