"""The table of architectures: name to configuration, and configuration to modules."""

from dataclasses import asdict, dataclass
from typing import Any

from model.dual_encoder import DualEncoder, ResidualProjection
from model.preprocessing import Preprocessing
from model.towers.bert import Bert, BertConfig
from model.towers.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig, StageConfig


@dataclass(frozen=True, slots=True)
class CompactArchitecture:
    """EfficientNet-Lite beside BERT, each with a residual projection."""

    image: EfficientNetLiteConfig
    text: BertConfig
    image_inner_width: int
    text_inner_width: int
    embedding_width: int

    def build(self) -> DualEncoder:
        """The modules with random weights."""
        return DualEncoder(
            EfficientNetLite(self.image),
            ResidualProjection(self.image.features, self.image_inner_width, self.embedding_width),
            Bert(self.text),
            ResidualProjection(self.text.width, self.text_inner_width, self.embedding_width),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CompactArchitecture":
        """The inverse of `to_dict`. Raises KeyError, TypeError or ValueError for anything else."""
        image = dict(values["image"])
        image["stages"] = tuple(StageConfig(**stage) for stage in image["stages"])
        return cls(
            image=EfficientNetLiteConfig(**image),
            text=BertConfig(**values["text"]),
            image_inner_width=int(values["image_inner_width"]),
            text_inner_width=int(values["text_inner_width"]),
            embedding_width=int(values["embedding_width"]),
        )


# EfficientNet-Lite was trained on (value - 127) / 128 of 8-bit values.
_LITE_MEAN = 127 / 255
_LITE_DEVIATION = 128 / 255

ARCHITECTURES = {
    "compact": CompactArchitecture(
        image=EfficientNetLiteConfig(),
        text=BertConfig(),
        image_inner_width=1024,
        text_inner_width=1024,
        embedding_width=512,
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
