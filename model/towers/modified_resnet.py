"""CLIP's ResNet, which differs from the usual one in three ways.

A stem of three 3x3 convolutions with an average pool in place of one 7x7 with a maximum pool
(ResNet-D); an average pool before every strided convolution, so that nothing aliases (rect-2);
attention over the last feature map in place of its mean.

Sources: Radford et al., 2021, section 2.4; He et al., "Bag of Tricks", 2019; Zhang, "Making
Convolutional Networks Shift-Invariant Again", 2019. Parameter names are those of OpenAI's
checkpoints.

Shape letters: N images, S side of the square input, C channels, G side of the last feature map,
A attention heads, D width of one head, E embedding width.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EXPANSION = 4
REDUCTION = 32


@dataclass(frozen=True, slots=True)
class ModifiedResNetConfig:
    """`layers` counts the blocks of the four stages; `width` is the first stage's inner width."""

    image_size: int
    width: int
    layers: tuple[int, int, int, int]
    heads: int
    embedding_width: int


class Bottleneck(nn.Module):
    """Narrow, filter, widen; every convolution has stride 1 and pools stand before the strided."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = inner * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.pool: nn.Module = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                # The names of OpenAI's checkpoints: the pool was put in before what was there.
                OrderedDict(
                    [
                        ("-1", nn.AvgPool2d(stride)),
                        ("0", nn.Conv2d(inputs, outputs, 1, bias=False)),
                        ("1", nn.BatchNorm2d(outputs)),
                    ]
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = self.pool(F.relu(self.bn2(self.conv2(inner))))
        return F.relu(self.downsample(x) + self.bn3(self.conv3(inner)))


class AttentionPool(nn.Module):
    """One attention layer whose only query is the mean of the feature map."""

    def __init__(self, grid: int, width: int, heads: int, embedding_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(grid**2 + 1, width) * width**-0.5)
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, embedding_width)
        for linear in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            nn.init.normal_(linear.weight, std=width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, G, G) to (N, E)."""
        x = x.flatten(2).transpose(1, 2)  # (N, G * G, C)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positional_embedding
        query, key, value = (
            linear(part).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, A, 1 or L, D)
            for linear, part in ((self.q_proj, x[:, :1]), (self.k_proj, x), (self.v_proj, x))
        )
        seen = F.scaled_dot_product_attention(query, key, value)  # (N, A, 1, D)
        pooled: Tensor = self.c_proj(seen.flatten(1))  # (N, E)
        return pooled


class ModifiedResNet(nn.Module):
    """Pixels to the attention pool's answer, which is the projection too."""

    def __init__(self, config: ModifiedResNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        stages = [
            _stage(
                width if stage == 0 else width * _EXPANSION * 2 ** (stage - 1),
                width * 2**stage,
                blocks,
                stride=1 if stage == 0 else 2,
            )
            for stage, blocks in enumerate(config.layers)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        features = width * _EXPANSION * 2**3
        grid = config.image_size // REDUCTION
        self.attnpool = AttentionPool(grid, features, config.heads, config.embedding_width)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised pixels to (N, E), not normalised."""
        x = F.relu(self.bn1(self.conv1(pixels)))  # (N, C / 2, S / 2, S / 2)
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x)))  # (N, C, S / 2, S / 2)
        x = F.avg_pool2d(x, 2)  # (N, C, S / 4, S / 4)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        pooled: Tensor = self.attnpool(x)  # (N, E) from (N, 32 C, S / 32, S / 32)
        return pooled


def _stage(inputs: int, inner: int, blocks: int, *, stride: int) -> nn.Sequential:
    outputs = inner * _EXPANSION
    return nn.Sequential(
        Bottleneck(inputs, inner, stride),
        *(Bottleneck(outputs, inner, 1) for _ in range(blocks - 1)),
    )
