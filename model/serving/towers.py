"""A model to its serving copy: which tower takes which form."""

import copy

import torch
from torch import Tensor, nn

from model.dual_encoder import DualEncoder
from model.preprocessing import Preprocessing
from model.serving.efficientnet_lite import ServingEfficientNetLite
from model.serving.modified_resnet import ServingModifiedResNet
from model.serving.pixels import Normalised
from model.serving.text_transformer import ServingTextTransformer
from model.serving.vision_transformer import ServingVisionTransformer
from model.towers.efficientnet_lite import EfficientNetLite, as_channels_last
from model.towers.modified_resnet import ModifiedResNet
from model.towers.text_transformer import TextTransformer
from model.towers.vision_transformer import VisionTransformer


class InPrecision(nn.Module):
    """A tower of which no faster form is known, as it is, but in another precision inside."""

    def __init__(self, tower: nn.Module, precision: torch.dtype) -> None:
        super().__init__()
        self.tower = copy.deepcopy(tower).to(dtype=precision)
        self.precision = precision
        as_channels_last(self.tower)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised pixels to float32 features."""
        pixels = pixels.to(self.precision, memory_format=torch.channels_last)
        features: Tensor = self.tower(pixels)
        return features.float()


def serving_copy(
    model: DualEncoder,
    precision: torch.dtype,
    preprocessing: Preprocessing | None = None,
    *,
    texts_only: bool = False,
) -> DualEncoder:
    """A copy that only embeds: evaluation mode, no gradients, the towers in `precision`.

    With `preprocessing` the image tower takes (N, S, S, 3) 8-bit pixels, else (N, 3, S, S)
    normalised ones; with `texts_only` it is left out. The model itself may go on learning.
    """
    image_parts = (
        (nn.Identity(), nn.Identity())
        if texts_only
        else (
            _image_tower(model.image_tower, precision, preprocessing),
            copy.deepcopy(model.image_projection),
        )
    )
    copied = DualEncoder(
        *image_parts,
        _text_tower(model.text_tower, precision),
        copy.deepcopy(model.text_projection),
    )
    copied.logit_scale = copy.deepcopy(model.logit_scale)
    return copied.eval().requires_grad_(requires_grad=False)


def _image_tower(
    tower: nn.Module, precision: torch.dtype, preprocessing: Preprocessing | None
) -> nn.Module:
    if isinstance(tower, VisionTransformer):
        return ServingVisionTransformer(tower, precision, preprocessing)
    takes = precision
    if isinstance(tower, ModifiedResNet):
        tower = ServingModifiedResNet(tower, precision)
    elif isinstance(tower, EfficientNetLite):
        tower = ServingEfficientNetLite(tower, precision)
        takes = torch.float32
    else:
        tower = InPrecision(tower, precision)
    return tower if preprocessing is None else Normalised(tower, takes, preprocessing)


def _text_tower(tower: nn.Module, precision: torch.dtype) -> nn.Module:
    if isinstance(tower, TextTransformer):
        return ServingTextTransformer(tower, precision)
    # The small one costs little in float32, which carries the last digits.
    return copy.deepcopy(tower)
