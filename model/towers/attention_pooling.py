"""Pooling by attention: each head weighs the positions of a feature map and sums its own values.

Source: Lee et al., "Set Transformer", 2019, section 3.2 (pooling by multihead attention). With one
learned query a head, query and key fold into one linear map from a position to its score.

Shape letters: N images, C channels, H and W height and width, L = H * W positions, A heads,
D width of one head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class AttentionPoolConfig:
    """`side` is the height and width of the maps, which learned places are added to."""

    heads: int = 8
    head_width: int = 64
    side: int = 9

    @property
    def width(self) -> int:
        """Of the pooled features, all heads side by side."""
        return self.heads * self.head_width


class AttentionPool(nn.Module):
    """What averaging loses: a small thing counts as much as the head that looks for it likes."""

    def __init__(self, channels: int, config: AttentionPoolConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm = nn.LayerNorm(channels)
        self.places = nn.Parameter(torch.zeros(config.side**2, channels))
        self.score = nn.Linear(channels, config.heads)
        self.value = nn.Linear(channels, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, A * D)."""
        x = self.norm(x.flatten(2).mT) + self.places  # (N, L, C)
        weight = self.score(x).softmax(dim=1)  # (N, L, A)
        value = self.value(x).unflatten(-1, (self.heads, -1))  # (N, L, A, D)
        return torch.einsum("nla,nlad->nad", weight, value).flatten(1)  # (N, A * D)
