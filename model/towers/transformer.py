"""The transformer that CLIP's image and text tower share: pre-norm, one matrix for q, k and v.

Sources: Vaswani et al., "Attention Is All You Need", 2017; Radford et al., "Language Models are
Unsupervised Multitask Learners", 2019 (normalisation before each residual). Parameter names are
those of OpenAI's checkpoints.

Shape letters: N images or texts, L positions, W width, A attention heads, D width of one head.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["gelu", "quick_gelu"]

QUICK_GELU_FACTOR = 1.702


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU that OpenAI's weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        activated: Tensor = _QuickGELU.apply(x)  # type: ignore[no-untyped-call]
        return activated


class _QuickGELU(torch.autograd.Function):
    """x * sigmoid(1.702 x) as swish(1.702 x) / 1.702, whose derivative is that of swish alone.

    So a backward pass holds one tensor instead of three and takes one pass over it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scaled = QUICK_GELU_FACTOR * x
        ctx.save_for_backward(scaled)
        return F.silu(scaled) / QUICK_GELU_FACTOR

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (scaled,) = ctx.saved_tensors
        carried: Tensor = torch.ops.aten.silu_backward(gradients[0], scaled)
        return carried


ACTIVATIONS: dict[Activation, type[nn.Module]] = {"gelu": nn.GELU, "quick_gelu": QuickGELU}


class Attention(nn.Module):
    """Multi-head self-attention; where it is causal, no position sees a later one."""

    def __init__(self, width: int, heads: int, *, is_causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.is_causal = is_causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, W) to (N, L, W)."""
        n, length, width = x.shape
        query, key, value = (
            F.linear(x, self.in_proj_weight, self.in_proj_bias)  # (N, L, 3 W)
            .view(n, length, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)  # (3, N, A, L, D)
        )
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=self.is_causal)
        mixed: Tensor = self.out_proj(seen.transpose(1, 2).reshape(n, length, width))  # (N, L, W)
        return mixed


class Mlp(nn.Module):
    """Two layers with the activation between them."""

    def __init__(self, width: int, inner_width: int, activation: Activation) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, inner_width)
        self.gelu = ACTIVATIONS[activation]()
        self.c_proj = nn.Linear(inner_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, W) to (N, L, W)."""
        narrow: Tensor = self.c_proj(self.gelu(self.c_fc(x)))
        return narrow


class Block(nn.Module):
    """Attention, then a two-layer network, each on normalised input and added to it."""

    def __init__(
        self, width: int, heads: int, inner_width: int, activation: Activation, *, is_causal: bool
    ) -> None:
        super().__init__()
        self.attn = Attention(width, heads, is_causal=is_causal)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = Mlp(width, inner_width, activation)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, W) to (N, L, W)."""
        x = x + self.attn(self.ln_1(x))
        narrow: Tensor = self.mlp(self.ln_2(x))
        return x + narrow


class Transformer(nn.Module):
    """A stack of blocks."""

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        inner_width: int,
        activation: Activation,
        *,
        is_causal: bool,
    ) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(
            *(
                Block(width, heads, inner_width, activation, is_causal=is_causal)
                for _ in range(layers)
            )
        )
        # Radford et al., 2019, section 2.3: the more residual paths, the smaller each starts.
        residual_deviation = width**-0.5 * (2 * layers) ** -0.5
        for block in self.resblocks:
            assert isinstance(block, Block)
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=residual_deviation)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=residual_deviation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, W) to (N, L, W)."""
        transformed: Tensor = self.resblocks(x)
        return transformed
