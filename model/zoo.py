"""The table of architectures: name to configuration, and configuration to modules."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, Self

from torch import nn

from model.dual_encoder import DualEncoder
from model.hubs import HubAwareImages, TextsBesideHubs
from model.preprocessing import Preprocessing
from model.projections import ResidualProjection
from model.towers.attention_pooling import AttentionPoolConfig
from model.towers.bert import Bert, BertConfig
from model.towers.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig, StageConfig
from model.towers.modified_resnet import ModifiedResNet, ModifiedResNetConfig
from model.towers.text_transformer import TextTransformer, TextTransformerConfig
from model.towers.vision_transformer import VisionTransformer, VisionTransformerConfig
from model.transformers_architecture import TransformersArchitecture


class Architecture(Protocol):
    """What a checkpoint needs of a family of models; `family` is a key of `FAMILIES`."""

    family: ClassVar[str]

    @property
    def context_length(self) -> int:
        """The most tokens a text may have, start and end token included."""
        ...

    def build(self) -> DualEncoder:
        """The modules with random weights."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint's header."""
        ...

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for anything else."""
        ...


@dataclass(frozen=True, slots=True)
class CompactArchitecture:
    """EfficientNet-Lite beside BERT, each with a residual projection.

    `bank_texts` is how many texts hubs are told by; without any they are not held back.
    """

    family: ClassVar[str] = "compact"

    image: EfficientNetLiteConfig
    text: BertConfig
    image_inner_width: int
    text_inner_width: int
    embedding_width: int
    bank_texts: int = 0

    @property
    def context_length(self) -> int:
        """The most tokens a text may have, start and end token included."""
        return self.text.positions

    def build(self) -> DualEncoder:
        """The modules with random weights."""
        image_sizes = (self.image.output_width, self.image_inner_width, self.embedding_width)
        text_sizes = (self.text.width, self.text_inner_width, self.embedding_width)
        projections = (
            (HubAwareImages(*image_sizes, self.bank_texts), TextsBesideHubs(*text_sizes))
            if self.bank_texts
            else (ResidualProjection(*image_sizes), ResidualProjection(*text_sizes))
        )
        return DualEncoder(
            EfficientNetLite(self.image), projections[0], Bert(self.text), projections[1]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for anything else."""
        image = dict(values["image"])
        image["stages"] = tuple(StageConfig(**stage) for stage in image["stages"])
        # Files older than a kind of attention, or than the bank, do not name it.
        for name in ("attention", "early_attention"):
            if image.get(name):
                image[name] = AttentionPoolConfig(**image[name])
        return cls(
            image=EfficientNetLiteConfig(**image),
            text=BertConfig(**values["text"]),
            image_inner_width=int(values["image_inner_width"]),
            text_inner_width=int(values["text_inner_width"]),
            embedding_width=int(values["embedding_width"]),
            bank_texts=int(values.get("bank_texts", 0)),
        )


@dataclass(frozen=True, slots=True)
class ClipArchitecture:
    """CLIP: a vision transformer or a modified ResNet beside a text transformer.

    The projections are part of the towers, as in OpenAI's checkpoints.
    """

    family: ClassVar[str] = "clip"

    image: VisionTransformerConfig | ModifiedResNetConfig
    text: TextTransformerConfig

    @property
    def context_length(self) -> int:
        """The most tokens a text may have, start and end token included."""
        return self.text.positions

    def build(self) -> DualEncoder:
        """The modules with random weights."""
        image_tower = (
            VisionTransformer(self.image)
            if isinstance(self.image, VisionTransformerConfig)
            else ModifiedResNet(self.image)
        )
        return DualEncoder(image_tower, nn.Identity(), TextTransformer(self.text), nn.Identity())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for anything else."""
        image = dict(values["image"])
        text = TextTransformerConfig(**values["text"])
        if "patch_size" in image:
            return cls(VisionTransformerConfig(**image), text)
        image["layers"] = tuple(image["layers"])
        return cls(ModifiedResNetConfig(**image), text)


FAMILIES: Mapping[str, type[Architecture]] = {
    architecture.family: architecture
    for architecture in (CompactArchitecture, ClipArchitecture, TransformersArchitecture)
}

# EfficientNet-Lite was trained on (value - 127) / 128 of 8-bit values.
_LITE_MEAN = 127 / 255
_LITE_DEVIATION = 128 / 255

ARCHITECTURES = {
    "compact": CompactArchitecture(
        image=EfficientNetLiteConfig(
            attention=AttentionPoolConfig(),
            early_attention=AttentionPoolConfig(heads=8, head_width=32, side=17),
        ),
        text=BertConfig(),
        image_inner_width=1024,
        text_inner_width=1024,
        embedding_width=512,
        bank_texts=2048,
    )
}

PREPROCESSING = {
    "compact": Preprocessing(
        image_size=260,
        fit="crop",
        mean=(_LITE_MEAN, _LITE_MEAN, _LITE_MEAN),
        deviation=(_LITE_DEVIATION, _LITE_DEVIATION, _LITE_DEVIATION),
    )
}

CLIP_VOCABULARY = 49_408
CLIP_END_TOKEN = 49_407
CLIP_CONTEXT_LENGTH = 77


def _text(width: int, embedding_width: int) -> TextTransformerConfig:
    return TextTransformerConfig(
        vocabulary=CLIP_VOCABULARY,
        positions=CLIP_CONTEXT_LENGTH,
        width=width,
        layers=12,
        heads=width // 64,
        inner_width=4 * width,
        embedding_width=embedding_width,
        activation="quick_gelu",
        end_token=CLIP_END_TOKEN,
    )


def _vit(
    image_size: int, patch_size: int, width: int, layers: int, text_width: int
) -> ClipArchitecture:
    # In every vision transformer of the paper the embedding is as wide as the text tower.
    image = VisionTransformerConfig(
        image_size=image_size,
        patch_size=patch_size,
        width=width,
        layers=layers,
        heads=width // 64,
        inner_width=4 * width,
        embedding_width=text_width,
        activation="quick_gelu",
    )
    return ClipArchitecture(image, _text(text_width, text_width))


def _resnet(
    image_size: int,
    width: int,
    layers: tuple[int, int, int, int],
    text_width: int,
    embedding_width: int,
) -> ClipArchitecture:
    image = ModifiedResNetConfig(image_size, width, layers, width // 2, embedding_width)
    return ClipArchitecture(image, _text(text_width, embedding_width))


# Radford et al., 2021, tables 19 and 20; the activation is that of OpenAI's weights.
CLIP_ARCHITECTURES: Mapping[str, ClipArchitecture] = {
    "RN50": _resnet(224, 64, (3, 4, 6, 3), 512, 1024),
    "RN101": _resnet(224, 64, (3, 4, 23, 3), 512, 512),
    "RN50x4": _resnet(288, 80, (4, 6, 10, 6), 640, 640),
    "RN50x16": _resnet(384, 96, (6, 8, 18, 8), 768, 768),
    "RN50x64": _resnet(448, 128, (3, 15, 36, 10), 1024, 1024),
    "ViT-B-32": _vit(224, 32, 768, 12, 512),
    "ViT-B-16": _vit(224, 16, 768, 12, 512),
    "ViT-L-14": _vit(224, 14, 1024, 24, 768),
    "ViT-L-14-336": _vit(336, 14, 1024, 24, 768),
}
