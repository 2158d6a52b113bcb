"""What a CLIP model's tensors are called in other programs' files.

Our names are OpenAI's behind the name of the tower; each naming says where a tensor of ours is in
the file, so that errors can speak of the file's own names.

Sources: openai/CLIP clip/model.py; mlfoundations/open_clip model.py, timm_model.py;
huggingface/transformers modeling_clip.py; huggingface/pytorch-image-models vision_transformer.py.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

IMAGE, TEXT = "image_tower.", "text_tower."
BLOCKS = "transformer.resblocks."


@dataclass(frozen=True, slots=True)
class TowerNaming:
    """One tower's names: a prefix, and what is called otherwise behind it.

    `parts` gives for our name of a part, inside a block or outside, theirs; a part of ours that
    they keep in several is those, one upon another. `projection` is the full name of the matrix
    that ends the tower where they keep it as a linear layer, which is its transpose.
    """

    prefix: str
    blocks: str = BLOCKS
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    projection: str | None = None

    def names(self, own: str) -> tuple[str, ...]:
        """Where the tensor is that we call `own` inside the tower."""
        if own in {"proj", "text_projection"} and self.projection:
            return (self.projection,)
        number = ""
        if own.startswith(BLOCKS):
            number, _, own = own.removeprefix(BLOCKS).partition(".")
            number = f"{self.blocks}{number}."
        stem, _, kind = own.rpartition(".")
        if own in self.parts:
            theirs = self.parts[own]
        else:
            theirs = (
                tuple(f"{part}.{kind}" for part in self.parts.get(stem, (stem,)))
                if stem
                else (kind,)
            )
        return tuple(f"{self.prefix}{number}{name}" for name in theirs)


_OPENAI_IMAGE = TowerNaming("visual.")
_OPENAI_TEXT = TowerNaming("")
# Where OpenCLIP keeps the text tower in a module of its own.
_CUSTOM_TEXT = TowerNaming("text.")

_BLOCK_OF_TRANSFORMERS = {
    "ln_1": ("layer_norm1",),
    "ln_2": ("layer_norm2",),
    "attn.in_proj_weight": tuple(f"self_attn.{part}_proj.weight" for part in "qkv"),
    "attn.in_proj_bias": tuple(f"self_attn.{part}_proj.bias" for part in "qkv"),
    "attn.out_proj": ("self_attn.out_proj",),
    "mlp.c_fc": ("mlp.fc1",),
    "mlp.c_proj": ("mlp.fc2",),
}
_TRANSFORMERS_IMAGE = TowerNaming(
    "vision_model.",
    "encoder.layers.",
    {
        "conv1": ("embeddings.patch_embedding",),
        "class_embedding": ("embeddings.class_embedding",),
        "positional_embedding": ("embeddings.position_embedding.weight",),
        "ln_pre": ("pre_layrnorm",),
        "ln_post": ("post_layernorm",),
    }
    | _BLOCK_OF_TRANSFORMERS,
    "visual_projection.weight",
)
_TRANSFORMERS_TEXT = TowerNaming(
    "text_model.",
    "encoder.layers.",
    {
        "token_embedding": ("embeddings.token_embedding",),
        "positional_embedding": ("embeddings.position_embedding.weight",),
        "ln_final": ("final_layer_norm",),
    }
    | _BLOCK_OF_TRANSFORMERS,
    "text_projection.weight",
)

_TIMM_PARTS = {
    "conv1": ("patch_embed.proj",),
    "class_embedding": ("cls_token",),
    "positional_embedding": ("pos_embed",),
    "ln_pre": ("norm_pre",),
    "ln_post": ("norm",),
    "ln_1": ("norm1",),
    "ln_2": ("norm2",),
    "attn.in_proj_weight": ("attn.qkv.weight",),
    "attn.in_proj_bias": ("attn.qkv.bias",),
    "attn.out_proj": ("attn.proj",),
    "mlp.c_fc": ("mlp.fc1",),
    "mlp.c_proj": ("mlp.fc2",),
}
_TIMM_IMAGE = TowerNaming("visual.trunk.", "blocks.", _TIMM_PARTS, "visual.trunk.head.weight")
# OpenCLIP may put the projection behind timm's tower instead of into it.
_TIMM_IMAGE_HEAD = TowerNaming("visual.trunk.", "blocks.", _TIMM_PARTS, "visual.head.proj.weight")

# What other programs keep beside the weights, and what of it says nothing that shapes don't say.
_HARMLESS = re.compile(
    r"(text_model|vision_model)\.embeddings\.position_ids"
    r"|(text\.)?attn_mask|input_resolution|context_length|vocab_size"
)


@dataclass(frozen=True, slots=True)
class Naming:
    """Both towers' names; `kind` says whose they are, for people."""

    kind: str
    image: TowerNaming
    text: TowerNaming

    def names(self, own: str) -> tuple[str, ...]:
        """Where in the file the tensor is that we call `own`: one name, or several to be joined."""
        if own.startswith(IMAGE):
            return self.image.names(own.removeprefix(IMAGE))
        return self.text.names(own.removeprefix(TEXT)) if own.startswith(TEXT) else (own,)

    def tensor(self, own: str, tensors: Mapping[str, Tensor]) -> Tensor:
        """The tensor that we call `own`. Raises KeyError with the name that the file lacks."""
        names = self.names(own)
        found = [tensors[name] for name in names]
        tensor = found[0] if len(found) == 1 else torch.cat(found)
        if names[0] in {self.image.projection, self.text.projection}:
            tensor = tensor.T
        # timm keeps a dimension for the batch before these, OpenCLIP sometimes one of a scalar.
        dimensions = {f"{IMAGE}class_embedding": 1, f"{IMAGE}positional_embedding": 2}.get(own)
        if dimensions and tensor.ndim > dimensions:
            tensor = tensor.flatten(0, tensor.ndim - dimensions)
        if own == "logit_scale" and tensor.numel() == 1:
            tensor = tensor.reshape(())
        return tensor.float() if tensor.dtype == torch.float64 else tensor

    def block_count(self, tower: str, names: Collection[str]) -> int:
        """How many blocks of `IMAGE` or `TEXT` the file has."""
        naming = self.image if tower == IMAGE else self.text
        return len(_numbers(f"{naming.prefix}{naming.blocks}", names))

    def stage_counts(self, names: Collection[str]) -> tuple[int, int, int, int]:
        """How many blocks the four stages of a ResNet have."""
        one, two, three, four = (
            len(_numbers(f"{self.image.prefix}layer{stage}.", names)) for stage in range(1, 5)
        )
        return one, two, three, four


def naming_of(names: Collection[str]) -> Naming:
    """The naming that most of the names follow."""
    if any(name.startswith(("vision_model.", "text_model.")) for name in names):
        return Naming("transformers' names", _TRANSFORMERS_IMAGE, _TRANSFORMERS_TEXT)
    text = _CUSTOM_TEXT if any(name.startswith("text.") for name in names) else _OPENAI_TEXT
    if any(name.startswith("visual.trunk.") for name in names):
        has_head = "visual.head.proj.weight" in names
        return Naming("timm's names", _TIMM_IMAGE_HEAD if has_head else _TIMM_IMAGE, text)
    return Naming("OpenAI's names", _OPENAI_IMAGE, text)


def is_harmless(name: str) -> bool:
    """Whether a tensor of this name may be there without a meaning for us."""
    return _HARMLESS.fullmatch(name) is not None


def _numbers(prefix: str, names: Collection[str]) -> set[str]:
    return {
        name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)
    }
