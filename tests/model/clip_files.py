"""CLIP models small enough for a test, in the files that other programs write."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from model.dual_encoder import DualEncoder
from model.towers.modified_resnet import ModifiedResNetConfig
from model.towers.text_transformer import TextTransformerConfig
from model.towers.transformer import Activation
from model.towers.vision_transformer import VisionTransformerConfig
from model.zoo import CLIP_END_TOKEN, CLIP_VOCABULARY, ClipArchitecture

TEXT = TextTransformerConfig(
    vocabulary=CLIP_VOCABULARY,
    positions=16,
    width=64,
    layers=2,
    heads=1,
    inner_width=96,
    embedding_width=32,
    activation="quick_gelu",
    end_token=CLIP_END_TOKEN,
)
VIT = ClipArchitecture(
    VisionTransformerConfig(
        image_size=32,
        patch_size=8,
        width=128,
        layers=2,
        heads=2,
        inner_width=96,
        embedding_width=32,
        activation="quick_gelu",
    ),
    TEXT,
)
RESNET = ClipArchitecture(ModifiedResNetConfig(64, 8, (1, 2, 1, 1), 4, 32), TEXT)


def with_activation(architecture: ClipArchitecture, activation: Activation) -> ClipArchitecture:
    """The same sizes with another activation."""
    image = architecture.image
    if isinstance(image, VisionTransformerConfig):
        image = replace(image, activation=activation)
    return ClipArchitecture(image, replace(architecture.text, activation=activation))


def model(architecture: ClipArchitecture, seed: int = 0) -> DualEncoder:
    """Modules in which every tensor counts: no bias is zero, no norm leaves its input alone."""
    torch.manual_seed(seed)
    built = architecture.build().eval()
    with torch.no_grad():
        for name, tensor in built.state_dict().items():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.copy_(0.5 + torch.rand_like(tensor) * (1 + name.endswith("running_var")))
    return built


def openai_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under OpenAI's and OpenCLIP's names."""
    return {
        name.replace("image_tower.", "visual.").removeprefix("text_tower."): tensor.clone()
        for name, tensor in state.items()
    }


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The precisions of OpenAI's files: matrices and convolutions in half, all else in single."""
    singles = ("ln_", "bn", "downsample.1", "positional", "class_emb", "token_emb", "logit_scale")
    return {
        name: tensor if any(part in name for part in singles) else tensor.half()
        for name, tensor in tensors.items()
    }


class QuickGELU(nn.Module):
    """A module of the name that OpenAI's archives have in them."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return x * torch.sigmoid(1.702 * x)


class _Holder(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def write_script(
    tensors: Mapping[str, Tensor], path: Path, activation: type[nn.Module] | None = QuickGELU
) -> None:
    """A TorchScript archive with these tensors, as OpenAI's: beside them sizes as buffers."""
    root = _Holder()
    for name, tensor in tensors.items():
        *parents, last = name.split(".")
        holder: nn.Module = root
        for parent in parents:
            if not hasattr(holder, parent):
                holder.add_module(parent, _Holder())
            holder = holder.get_submodule(parent)
        if tensor.is_floating_point():
            holder.register_parameter(last, nn.Parameter(tensor))
        else:
            holder.register_buffer(last, tensor)
    root.register_buffer("input_resolution", torch.tensor(32))
    root.register_buffer("context_length", torch.tensor(16))
    root.register_buffer("vocab_size", torch.tensor(CLIP_VOCABULARY))
    if activation is not None:
        root.get_submodule("transformer.resblocks.0.mlp").add_module("gelu", activation())
    torch.jit.script(root.eval()).save(str(path))
