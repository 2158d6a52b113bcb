"""A CLIP model's folder as OpenCLIP writes it for the hub.

Sources: mlfoundations/open_clip push_to_hf_hub.py (the file), model.py `CLIPVisionCfg` and
`CLIPTextCfg`, transform.py `PreprocessCfg` (what may be in it).
"""

from pathlib import Path
from typing import Any

from model.checkpoints.folders import at_least_one, read_json, read_tokenizer, read_weights_of, side
from model.checkpoints.told import Told, TowerTold
from model.checkpoints.weights import Weights
from model.errors import CheckpointDamaged, CheckpointUnsupported
from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing
from model.towers.transformer import Activation

CONFIG = "open_clip_config.json"
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)

# Sizes, which the tensors tell, and what only training looks at.
_TOLD_BY_SHAPES = {
    "vision_cfg": {"layers", "width", "patch_size", "image_size", "head_width", "mlp_ratio"},
    "text_cfg": {"layers", "width", "heads", "vocab_size", "context_length", "mlp_ratio"},
}
_OF_TRAINING = {"patch_dropout", "timm_model_pretrained", "timm_drop", "timm_drop_path"}
_NAMES = {"timm_model_name", "hf_tokenizer_name"}
# What asks for a tower of ours where it has one of these values, and for another else.
_OURS: dict[str, tuple[Any, ...]] = {
    "pool_type": ("tok", "argmax"),
    "pos_embed_type": ("learnable",),
    "proj_type": ("linear",),
    "timm_pool": ("token", ""),
    "timm_proj": ("linear",),
    "pad_id": (0,),
}
_FITS = ("shortest", "squash")


def read_open_clip_folder(folder: Path) -> tuple[Weights, Told]:
    """The weights of a folder with an open_clip_config.json, and what it tells of them.

    Raises CheckpointDamaged, CheckpointUnsupported when it asks for a tower that isn't ours.
    """
    path = folder / CONFIG
    config = read_json(path)
    model = _object(path, config, "model_cfg")
    image, text = _object(path, model, "vision_cfg"), _object(path, model, "text_cfg")
    for name in ("vision_cfg", "text_cfg"):
        _check(path, name, _object(path, model, name))
    if model.get("multimodal_cfg") or model.get("init_logit_bias") is not None:
        raise CheckpointUnsupported(path, "a CLIP model", "a CoCa or a sigmoid model")
    activation: Activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    size = side(path, image.get("image_size", 224))
    timm = image.get("timm_model_name")
    told = Told(
        # A tower of timm's has the activation that its name says, whatever the flag does.
        image=TowerTold("quick_gelu" if "quickgelu" in timm else "gelu")
        if isinstance(timm, str)
        else TowerTold(activation, _image_heads(path, image)),
        text=TowerTold(activation, at_least_one(path, text.get("heads", 8))),
        image_size=size,
        tokenizer=read_tokenizer(folder) if text.get("hf_tokenizer_name") else None,
        preprocessing=_preprocessing(path, config, size),
    )
    return read_weights_of(folder, WEIGHTS), told


def _object(path: Path, values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    if not isinstance(found, dict):
        raise CheckpointDamaged(path, f"an object as {name}", "none")
    return found


def _check(path: Path, section: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if name in _TOLD_BY_SHAPES[section] | _OF_TRAINING | _NAMES:
            continue
        is_ours = value in _OURS[name] if name in _OURS else False
        # What is off, none or empty asks for nothing.
        if value and not is_ours:
            raise CheckpointUnsupported(
                path, "towers as in the CLIP paper", f"{section} with {name} {value!r}"
            )


def _image_heads(path: Path, image: dict[str, Any]) -> int | None:
    width, head_width = image.get("width"), image.get("head_width")
    if head_width is None or isinstance(image.get("layers"), list):
        return None
    width, head_width = at_least_one(path, width), at_least_one(path, head_width)
    return width // head_width


def _preprocessing(path: Path, config: dict[str, Any], size: int) -> Preprocessing:
    values = config.get("preprocess_cfg") or {}
    if not isinstance(values, dict):
        raise CheckpointDamaged(path, "an object as preprocess_cfg", "something else")
    fit = values.get("resize_mode") or "shortest"
    resampling = values.get("interpolation") or "bicubic"
    if fit not in _FITS or resampling not in {"bicubic", "bilinear"}:
        raise CheckpointUnsupported(
            path,
            "a resize_mode of shortest or squash, an interpolation of bicubic or bilinear",
            f"{fit!r} and {resampling!r}",
        )
    try:
        return Preprocessing.from_dict(
            {
                "image_size": size,
                "fit": fit,
                "mean": values.get("mean") or CLIP_MEAN,
                "deviation": values.get("std") or CLIP_DEVIATION,
                "resampling": resampling,
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointDamaged(path, "a preprocess_cfg", repr(error)) from error
