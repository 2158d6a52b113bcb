"""Folders of the library `transformers` with another dual encoder than CLIP, SigLIP above all.

Sources: transformers models/siglip (a text is filled up to the context length, and padding is seen;
pictures are resized without a crop), models/siglip2/tokenization_siglip2.py (lower case).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoints.checkpoint import Checkpoint
from model.checkpoints.dual_encoder_tokenizer import longest_text, read_padded_tokenizer
from model.checkpoints.folders import read_json, read_weights_of
from model.checkpoints.naming import is_harmless
from model.checkpoints.open_clip_folder import CONFIG as OPEN_CLIP_CONFIG
from model.checkpoints.transformers_folder import (
    CONFIG,
    WEIGHTS,
    image_processor,
    preprocessing_of,
)
from model.errors import CheckpointMismatch, CheckpointUnsupported
from model.preprocessing import Preprocessing
from model.tokenizers import Padding
from model.towers.adapted import AdaptedImageTower, AdaptedTextTower, parts_of_no_tower
from model.transformers_architecture import TransformersArchitecture, load_library_model

# Kinds of models whose embeddings were compared with the library's own, and how texts are padded.
_PADDING: Mapping[str, Padding] = {
    "siglip": "full",
    "altclip": "longest",
    "aimv2": "longest",
    "chinese_clip": "longest",
    "metaclip_2": "longest",
}
_FLEXIBLE = "siglip2"

# Whether these crop when their settings don't say.
_CROPS = {
    "ChineseCLIPImageProcessor": True,
    "CLIPImageProcessor": True,
    "SiglipImageProcessor": False,
    "ViTImageProcessor": False,
}


def dual_encoder_folder(source: Path) -> Path | None:
    """The folder that `source` is, or whose weights it is, if it is of a model other than CLIP."""
    folder = source if source.is_dir() else source.parent
    if source != folder and source.name not in WEIGHTS:
        return None
    if (folder / OPEN_CLIP_CONFIG).is_file() or not (folder / CONFIG).is_file():
        return None
    return None if read_json(folder / CONFIG).get("model_type") == "clip" else folder


def read_dual_encoder_folder(folder: Path, *, is_as_stored: bool = True) -> Checkpoint:
    """The model in a folder of the library, with tensors in the precision of their file.

    Unless `is_as_stored` another architecture or image size is wanted, which no such model has.

    Raises CheckpointDamaged, CheckpointMismatch, CheckpointUnsupported, ExtraMissing, and
    CheckpointError for a configuration that the library refuses.
    """
    path = folder / CONFIG
    config = read_json(path)
    kind = _kind(path, config)
    if not is_as_stored:
        raise CheckpointUnsupported(
            path, "no other architecture or image size to be asked for", "a model of transformers"
        )
    preprocessing = _preprocessing(folder)
    tokenizer, pad_id = read_padded_tokenizer(folder, _PADDING[kind], is_siglip=kind == "siglip")
    weights = read_weights_of(folder, WEIGHTS)
    model, names = load_library_model(config, weights.tensors)
    _check_names(f"{weights.path} is no {type(model).__name__}", names)
    if odd := parts_of_no_tower(model):
        raise CheckpointUnsupported(path, "two towers", f"a part {odd[0]} beside them")
    text_config = model.config.text_config
    if pad_id is None:
        pad_id = text_config.pad_token_id or 0
    positions = text_config.max_position_embeddings
    if kind == "altclip":
        # RoBERTa counts positions from the one after that of padding.
        positions -= text_config.pad_token_id + 1
    context_length = min(positions, longest_text(folder))
    image, text = AdaptedImageTower(model), AdaptedTextTower(model, pad_id)
    width = _common_width(path, image, text, preprocessing.image_size, context_length)
    tensors = {f"image_tower.{name}": one for name, one in image.state_dict().items()}
    tensors |= {f"text_tower.{name}": one for name, one in text.state_dict().items()}
    tensors |= _heads_and_scale(model, width)
    return Checkpoint(
        name=type(model).__name__.removesuffix("Model"),
        architecture=TransformersArchitecture(
            # All of it: what a later version of the library takes for granted may differ.
            config=json.loads(model.config.to_json_string(use_diff=False)),
            context_length=context_length,
            embedding_width=width,
            pad_id=pad_id,
            is_sigmoid="logit_bias" in tensors,
        ),
        preprocessing=preprocessing,
        tokenizer=replace(tokenizer, pad_id=pad_id),
        tensors=tensors,
    )


def _kind(path: Path, config: Mapping[str, Any]) -> str:
    kind = config.get("model_type")
    if kind == _FLEXIBLE:
        raise CheckpointUnsupported(
            path,
            'pictures of one size (the model_type "siglip", which SigLIP 2 of a fixed resolution '
            "has too)",
            "SigLIP 2 for pictures of any shape (NaFlex)",
        )
    if not isinstance(kind, str) or kind not in _PADDING:
        known = ", ".join(("clip", *_PADDING))
        raise CheckpointUnsupported(path, f"a model_type out of {known}", repr(kind))
    return kind


def _preprocessing(folder: Path) -> Preprocessing:
    path, values = image_processor(folder)
    kind = str(values.get("image_processor_type") or values.get("feature_extractor_type"))
    kind = kind.removesuffix("Pil").removesuffix("Fast")
    kind = kind.replace("FeatureExtractor", "ImageProcessor")
    if kind not in _CROPS:
        raise CheckpointUnsupported(path, f"one of {', '.join(_CROPS)}", kind)
    return preprocessing_of(path, {"do_center_crop": _CROPS[kind], **values})


def _check_names(what: str, names: Mapping[str, Any]) -> None:
    missing = sorted(names["missing_keys"])
    unexpected = sorted(name for name in names["unexpected_keys"] if not is_harmless(name))
    misshapen = sorted(name for name, *_ in names["mismatched_keys"])
    if missing or unexpected or misshapen:
        raise CheckpointMismatch(missing, unexpected, misshapen, what=what)


def _common_width(
    path: Path, image: AdaptedImageTower, text: AdaptedTextTower, side: int, length: int
) -> int:
    """The width of the features of both towers, which both are asked for once."""
    ids = torch.full((1, length), text.pad_id)
    pixels = torch.zeros(1, 3, side, side, dtype=next(image.parameters()).dtype)
    try:
        with torch.inference_mode():
            widths = image(pixels).shape[-1], text(ids, torch.ones_like(ids).bool()).shape[-1]
    except (IndexError, RuntimeError, ValueError) as error:
        raise CheckpointUnsupported(
            path,
            f"pictures of {side} pixels and texts of {length} tokens",
            f"towers that say {error}",
        ) from error
    if widths[0] != widths[1]:
        raise CheckpointUnsupported(path, "features of one width", f"{widths[0]} and {widths[1]}")
    return int(widths[0])


def _heads_and_scale(model: Any, width: int) -> dict[str, Tensor]:
    head = torch.eye(width, dtype=model.logit_scale.dtype)
    return {
        "image_projection.weight": head,
        "text_projection.weight": head,
        **{
            name: one.detach().reshape(())
            for name, one in model.named_parameters(recurse=False)
            if name in {"logit_scale", "logit_bias"}
        },
    }
