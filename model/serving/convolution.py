"""A convolution with its normalisation folded in, its activation and the sum before that, at once.

Images lie channels last.

Shape letters: N images, C channels, H and W height and width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.serving import onednn
from model.towers.batch_norm import folded

Fused = Literal["none", "relu", "relu6"]


class PackedConv(nn.Module):
    """`conv(x)`, or `conv(x, residual)` for the sum with a residual, and the activation of it."""

    def __init__(
        self,
        conv: nn.Conv2d,
        norm: nn.Module,
        precision: torch.dtype,
        *,
        activation: Fused,
        padding: int,
    ) -> None:
        """The kernel is square, and its padding the same on every side."""
        super().__init__()
        self.activation = activation
        self.geometry = padding, conv.stride[0], conv.groups
        weight, bias = folded(conv, norm)
        weight = weight.to(precision).contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.to(precision, copy=True)
        self.is_packed = onednn.is_there(weight.device, precision)
        self.weight = (
            onednn.packed_convolution(weight, *self.geometry)
            if self.is_packed
            else weight.clone(memory_format=torch.channels_last)
        )

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride), all in the convolution's precision."""
        if self.is_packed:
            return onednn.convolution(
                x, self.weight, self.bias, self.geometry, self.activation, residual
            )
        padding, stride, groups = self.geometry
        x = F.conv2d(x, self.weight, self.bias, stride, padding, groups=groups)
        if residual is not None:
            x = x + residual
        if self.activation == "relu":
            return F.relu(x)
        return F.relu6(x) if self.activation == "relu6" else x
