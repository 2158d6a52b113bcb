"""A linear map, its activation and the sum after it, in one pass over memory.

Shape letters: K inputs, M outputs; `...` is any shape.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.serving import onednn

Fused = Literal["none", "gelu", "swish"]


class PackedLinear(nn.Module):
    """`linear(x)` for the activation of the map, `linear(x, residual)` for its sum with another."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        precision: torch.dtype,
        *,
        activation: Fused = "none",
    ) -> None:
        """`weight` is (M, K) and `bias` (M,), as `nn.Linear` has them; both are copied."""
        super().__init__()
        self.activation = activation
        weight = weight.detach().to(precision).contiguous()
        self.bias = None if bias is None else bias.detach().to(precision, copy=True)
        self.is_packed = onednn.is_there(weight.device, precision)
        self.weight = onednn.packed_linear(weight) if self.is_packed else weight.clone()

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """(..., K) and perhaps (..., M) to (..., M), all in the map's precision."""
        if self.is_packed:
            return onednn.linear(x, self.weight, self.bias, self.activation, residual)
        mapped = F.linear(x, self.weight, self.bias)
        if residual is not None:
            return mapped + residual
        if self.activation == "gelu":
            return F.gelu(mapped)
        return F.silu(mapped) if self.activation == "swish" else mapped
