"""A CLIP model's folder as Hugging Face's transformers writes it.

Sources: transformers models/clip/configuration_clip.py (defaults of what config.json leaves out),
image_processing_clip.py.
"""

import math
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as LibraryTokenizer

from model.byte_pairs import END_TOKEN
from model.checkpoints.folders import at_least_one, read_json, read_tokenizer, read_weights_of, side
from model.checkpoints.told import Told, TowerTold
from model.checkpoints.weights import Weights
from model.errors import CheckpointDamaged, CheckpointUnsupported
from model.preprocessing import Preprocessing
from model.tokenizers import TokenizerSettings
from model.towers.transformer import Activation

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_PREPROCESSOR = "preprocessor_config.json"
_PROCESSOR = "processor_config.json"

_ACTIVATIONS: dict[str, Activation] = {"quick_gelu": "quick_gelu", "gelu": "gelu"}
_EPSILON = 1e-5
# Written by old versions in place of the end token's id.
_LEGACY_END_TOKEN = 2
_FILTERS = {2: "bilinear", 3: "bicubic"}
_RESCALE_FACTOR = 1 / 255


def read_transformers_folder(folder: Path) -> tuple[Weights, Told]:
    """The weights of a folder whose config.json names a CLIP model, and what it tells of them.

    Raises CheckpointDamaged, CheckpointUnsupported.
    """
    path = folder / CONFIG
    config = read_json(path)
    if config.get("model_type") != "clip":
        raise CheckpointUnsupported(
            path, 'the model_type "clip"', repr(config.get("model_type", "none"))
        )
    image, text = _section(path, config, "vision_config"), _section(path, config, "text_config")
    tokenizer = read_tokenizer(folder)
    told = Told(
        image=_tower(path, image, heads=12),
        text=_tower(path, text, heads=8),
        image_size=side(path, image.get("image_size", 224)),
        end_token=_end_token(path, text, tokenizer),
        tokenizer=tokenizer,
        preprocessing=preprocessing_of(*image_processor(folder)),
    )
    return read_weights_of(folder, WEIGHTS), told


def _section(path: Path, config: dict[str, Any], name: str) -> dict[str, Any]:
    # Old versions wrote the sections a second time under this name, where they are whole.
    values = config.get(f"{name}_dict") or config.get(name) or {}
    if not isinstance(values, dict):
        raise CheckpointDamaged(path, f"an object as {name}", "something else")
    return values


def _tower(path: Path, config: dict[str, Any], heads: int) -> TowerTold:
    activation = config.get("hidden_act", "quick_gelu")
    if activation not in _ACTIVATIONS:
        raise CheckpointUnsupported(
            path, f"an activation out of {', '.join(_ACTIVATIONS)}", repr(activation)
        )
    epsilon = config.get("layer_norm_eps", _EPSILON)
    if epsilon != _EPSILON:
        raise CheckpointUnsupported(path, f"a layer_norm_eps of {_EPSILON}", repr(epsilon))
    return TowerTold(
        _ACTIVATIONS[activation], at_least_one(path, config.get("num_attention_heads", heads))
    )


def _end_token(
    path: Path, config: dict[str, Any], tokenizer: TokenizerSettings | None
) -> int | None:
    known = config.get("eos_token_id", _LEGACY_END_TOKEN)
    if isinstance(known, list) and len(known) == 1:
        known = known[0]
    if known != _LEGACY_END_TOKEN:
        return at_least_one(path, known)
    if tokenizer is None:
        return None
    end: int | None = LibraryTokenizer.from_str(tokenizer.definition).token_to_id(END_TOKEN)
    return end


def image_processor(folder: Path) -> tuple[Path, dict[str, Any]]:
    """How the folder says that pictures are prepared, which is never guessed, and in which file.

    Raises CheckpointDamaged where nothing says it.
    """
    path = folder / _PREPROCESSOR
    values: Any = {}
    if path.is_file():
        values = read_json(path)
    elif (folder / _PROCESSOR).is_file():
        path = folder / _PROCESSOR
        values = read_json(path).get("image_processor")
    if not isinstance(values, dict) or not values:
        raise CheckpointDamaged(
            folder, f"{_PREPROCESSOR}, which says how pictures are prepared", "no such file"
        )
    return path, values


def preprocessing_of(path: Path, values: dict[str, Any]) -> Preprocessing:
    """An image processor's settings, of the file at `path`.

    Raises CheckpointDamaged when they are none, CheckpointUnsupported for another way to prepare.
    """
    size = values.get("size", {"shortest_edge": 224})
    shortest = size.get("shortest_edge") if isinstance(size, dict) else size
    is_cropped = values.get("do_center_crop", True)
    crop = values.get("crop_size", 224) if is_cropped else size
    image_size = side(path, crop)
    for name in ("do_resize", "do_rescale", "do_normalize"):
        if values.get(name, True) is not True:
            raise CheckpointUnsupported(path, f"{name} to be on", "it off")
    factor = values.get("rescale_factor", _RESCALE_FACTOR)
    if not isinstance(factor, int | float) or not math.isclose(factor, _RESCALE_FACTOR):
        raise CheckpointUnsupported(path, "a rescale_factor of 1/255", repr(factor))
    if is_cropped and shortest is not None and side(path, shortest) != image_size:
        raise CheckpointUnsupported(
            path, "pictures resized to what is cropped", f"{shortest} and {image_size} pixels"
        )
    kind = values.get("resample", 3)
    if kind not in _FILTERS:
        raise CheckpointUnsupported(path, "a resample of 2 (bilinear) or 3 (bicubic)", repr(kind))
    try:
        return Preprocessing.from_dict(
            {
                "image_size": image_size,
                "fit": "shortest" if is_cropped and shortest is not None else "squash",
                "mean": values["image_mean"],
                "deviation": values["image_std"],
                "resampling": _FILTERS[kind],
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointDamaged(path, "an image processor's settings", repr(error)) from error
