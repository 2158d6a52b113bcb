"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation and with ReLU6.

Sources: Tan and Le, "EfficientNet", 2019 (table 1, compound scaling); Sandler et al.,
"MobileNetV2", 2018 (the inverted residual block); the TensorFlow TPU release of EfficientNet-Lite
(ReLU6, stem and head not scaled, "SAME" padding).

Shape letters: N images, C channels, H and W height and width, F averaged features, P features
pooled by attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.towers.attention_pooling import AttentionPool, AttentionPoolConfig
from model.towers.batch_norm import folded

# TensorFlow's training used this instead of torch's 1e-5; the released statistics depend on it.
NORM_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class StageConfig:
    """A run of blocks of one width; only the first block has the stride and the width change."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


@dataclass(frozen=True, slots=True)
class EfficientNetLiteConfig:
    """Widths and depths after compound scaling; the default is EfficientNet-Lite2.

    `attention` adds features pooled by attention over the last map to the averaged ones, and
    `early_attention` those over the map after `early_blocks` blocks, which still knows colours,
    textures and small things; ImageNet's weights know nothing of either. Raises ValueError when
    there is no such block.
    """

    stem_width: int = 32
    stages: tuple[StageConfig, ...] = (
        StageConfig(blocks=1, kernel=3, stride=1, expansion=1, width=16),
        StageConfig(blocks=3, kernel=3, stride=2, expansion=6, width=24),
        StageConfig(blocks=3, kernel=5, stride=2, expansion=6, width=48),
        StageConfig(blocks=4, kernel=3, stride=2, expansion=6, width=88),
        StageConfig(blocks=4, kernel=5, stride=1, expansion=6, width=120),
        StageConfig(blocks=5, kernel=5, stride=2, expansion=6, width=208),
        StageConfig(blocks=1, kernel=3, stride=1, expansion=6, width=352),
    )
    features: int = 1280
    attention: AttentionPoolConfig | None = None
    early_attention: AttentionPoolConfig | None = None
    early_blocks: int = 15

    def __post_init__(self) -> None:
        blocks = sum(stage.blocks for stage in self.stages)
        if self.early_attention and not 1 <= self.early_blocks <= blocks:
            raise ValueError(f"there is no block {self.early_blocks} of {blocks}")

    @property
    def output_width(self) -> int:
        """Of what the tower gives: the averaged features, then those pooled by attention."""
        pools = (self.attention, self.early_attention)
        return self.features + sum(pool.width for pool in pools if pool)


class SamePaddedConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME" does: output side = ceil(input side / stride).

    With stride 2 and an even side the odd pixel of padding goes to the bottom and right; torch's
    symmetric padding would shift every feature map of the released weights by a pixel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride), sides rounded up."""
        padding = same_padding(x.shape[-2:], self.kernel_size[0], self.stride[0])
        if len(set(padding)) == 1:
            return F.conv2d(x, self.weight, self.bias, self.stride, padding[0], groups=self.groups)
        x = F.pad(x, padding)
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


def same_padding(sides: Sequence[int], kernel: int, stride: int) -> tuple[int, int, int, int]:
    """What (H, W) input is padded with by "SAME": left, right, top, bottom."""
    below, right = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in sides)
    return right // 2, right - right // 2, below // 2, below - below // 2


class ConvNorm(nn.Module):
    """Convolution, then batch normalisation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = SamePaddedConv(inputs, outputs, kernel, stride, groups)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride), sides rounded up."""
        normed: Tensor = self.norm(self.conv(x))
        return normed


class InvertedResidual(nn.Module):
    """Widen, filter each channel on its own, narrow; the input is added where the shape allows."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = ConvNorm(inputs, inner) if expansion != 1 else None
        self.depthwise = ConvNorm(inner, inner, kernel, stride, groups=inner)
        self.project = ConvNorm(inner, outputs)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride), sides rounded up."""
        inner = x if self.expand is None else F.relu6(self.expand(x))  # (N, C * expansion, H, W)
        inner = F.relu6(self.depthwise(inner))  # (N, C * expansion, H / stride, W / stride)
        narrow: Tensor = self.project(inner)  # (N, C', H / stride, W / stride)
        return x + narrow if self.is_residual else narrow


class EfficientNetLite(nn.Module):
    """Pixels to pooled features; the classifier that was trained on them is not part of it."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = ConvNorm(3, config.stem_width, kernel=3, stride=2)
        blocks: list[InvertedResidual] = []
        widths = [config.stem_width]
        for stage in config.stages:
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(
                    InvertedResidual(widths[-1], stage.width, stage.kernel, stride, stage.expansion)
                )
                widths.append(stage.width)
        self.blocks = nn.ModuleList(blocks)
        self.head = ConvNorm(widths[-1], config.features)
        self.attention = _pool(widths[-1], config.attention)
        self.early_attention = _pool(
            widths[config.early_blocks] if config.early_attention else 0, config.early_attention
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) normalised pixels to (N, F + P) features, the first F in [0, 6]."""
        return self.finish(self.begin(pixels, 0), 0)

    def begin(self, pixels: Tensor, blocks: int) -> Tensor:
        """(N, 3, H, W) normalised pixels through the stem and the first `blocks` blocks."""
        # One layout throughout: where two layouts meet, torch 2.13 computes wrong gradients of a
        # single image's normalisation.
        x = pixels.contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.stem(x))  # (N, C, H/2, W/2)
        for block in self.blocks[:blocks]:
            x = block(x)
        return x

    def finish(self, x: Tensor, blocks: int) -> Tensor:
        """What `begin` gives for as many `blocks`, through the rest to (N, F + P) features.

        With early attention `blocks` is at most `early_blocks`.
        """
        if self.early_attention is not None:
            for block in self.blocks[blocks : self.config.early_blocks]:
                x = block(x)
            blocks = self.config.early_blocks
        last = self.last_map(x, blocks)
        return torch.cat([self.average(last), *self.pooled(x, last)], dim=-1)

    def pooled(self, early: Tensor, last: Tensor) -> list[Tensor]:
        """The map after `early_blocks` blocks and the last one to features, (N, P) side by side."""
        pools = ((self.attention, last), (self.early_attention, early))
        return [pool(x) for pool, x in pools if pool is not None]

    def last_map(self, x: Tensor, blocks: int) -> Tensor:
        """What `begin` gives for as many `blocks`, through all other blocks: (N, C, H/32, W/32)."""
        for block in self.blocks[blocks:]:
            x = block(x)
        return x

    def average(self, x: Tensor) -> Tensor:
        """The last block's map to the (N, F) features that ImageNet's classifier was trained on."""
        return F.relu6(self.head(x)).mean(dim=(-2, -1))


def _pool(channels: int, config: AttentionPoolConfig | None) -> AttentionPool | None:
    return AttentionPool(channels, config) if config else None


def fold_norms(tower: EfficientNetLite) -> None:
    """Put each batch normalisation into the convolution before it, in place, for serving."""
    for module in tower.modules():
        if isinstance(module, ConvNorm) and isinstance(module.norm, nn.BatchNorm2d):
            weight, bias = folded(module.conv, module.norm)
            assert bias is not None, "a normalisation shifts"
            module.conv.weight, module.conv.bias = nn.Parameter(weight), nn.Parameter(bias)
            module.norm = nn.Identity()


def as_channels_last(tower: nn.Module) -> None:
    """Lay the convolution weights out with channels innermost, in place: faster on processors."""
    for parameter in tower.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
