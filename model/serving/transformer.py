"""The transformer of `model/towers/transformer.py` in the form that embeds fastest.

What differs, each of it exact but for rounding:
- The factor and shift of a normalisation are part of the linear map after it.
- QuickGELU, x * sigmoid(1.702 x), is swish(1.702 x) / 1.702, and both factors are part of the
  linear maps around it; swish is computed by the matrix kernel.
- Residuals are added by the matrix kernel.
- Only one position of the last block is read: it alone asks there and goes through what follows.

Normalisations are computed in float32 inside, whatever the precision of what they read.

Shape letters: N images or texts, L positions, W width, A attention heads, D width of one head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.serving.linear import Fused, PackedLinear
from model.towers.transformer import QUICK_GELU_FACTOR, Block, QuickGELU, Transformer


def folded(norm: nn.LayerNorm, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of the map that takes what `norm` only centres and scales."""
    weight = weight.detach()
    return weight * norm.weight.detach(), bias.detach() + weight @ norm.bias.detach()


def centred(x: Tensor, epsilon: float) -> Tensor:
    """What a normalisation does before its factor and shift."""
    return F.layer_norm(x, x.shape[-1:], eps=epsilon)


class AfterAttention(nn.Module):
    """What a block does with what attention saw: mixing, the two-layer network, both residuals."""

    def __init__(self, block: Block, precision: torch.dtype) -> None:
        super().__init__()
        self.mix = PackedLinear(block.attn.out_proj.weight, block.attn.out_proj.bias, precision)
        self.epsilon = block.ln_2.eps
        weight, bias = folded(block.ln_2, block.mlp.c_fc.weight, block.mlp.c_fc.bias)
        outer = block.mlp.c_proj.weight.detach()
        activation: Fused = "gelu"
        if isinstance(block.mlp.gelu, QuickGELU):
            activation = "swish"
            weight, bias = weight * QUICK_GELU_FACTOR, bias * QUICK_GELU_FACTOR
            outer = outer / QUICK_GELU_FACTOR
        self.inner = PackedLinear(weight, bias, precision, activation=activation)
        self.outer = PackedLinear(outer, block.mlp.c_proj.bias, precision)

    def forward(self, seen: Tensor, x: Tensor) -> Tensor:
        """What attention saw and what the block was given, both (..., W), to (..., W)."""
        x = self.mix(seen, x)
        narrow: Tensor = self.outer(self.inner(centred(x, self.epsilon)), x)
        return narrow


class ServingBlock(nn.Module):
    """One block, whole."""

    def __init__(self, block: Block, precision: torch.dtype) -> None:
        super().__init__()
        self.heads = block.attn.heads
        self.is_causal = block.attn.is_causal
        self.epsilon = block.ln_1.eps
        self.query_key_value = PackedLinear(*_asking(block), precision)
        self.after = AfterAttention(block, precision)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, W) to (N, L, W)."""
        query, key, value = (
            self.query_key_value(centred(x, self.epsilon))  # (N, L, 3 W)
            .unflatten(-1, (3, self.heads, -1))
            .permute(2, 0, 3, 1, 4)  # (3, N, A, L, D)
        )
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=self.is_causal)
        after: Tensor = self.after(seen.transpose(1, 2).flatten(2), x)  # (N, L, W)
        return after


class LastBlock(nn.Module):
    """The last block, for the one position of each sequence that is read."""

    def __init__(self, block: Block, precision: torch.dtype) -> None:
        super().__init__()
        self.heads = block.attn.heads
        self.epsilon = block.ln_1.eps
        weight, bias = _asking(block)
        width = weight.shape[1]
        self.query = PackedLinear(weight[:width], bias[:width], precision)
        self.key_value = PackedLinear(weight[width:], bias[width:], precision)
        self.after = AfterAttention(block, precision)

    def forward(self, x: Tensor, read: Tensor, visible: Tensor | None) -> Tensor:
        """(N, L, W), the (N,) positions read and the (N, L) that they see, to (N, W)."""
        rows = torch.arange(x.shape[0], device=x.device)
        normed = centred(x, self.epsilon)  # (N, L, W)
        query = self.query(normed[rows, read]).unflatten(-1, (self.heads, 1, -1))  # (N, A, 1, D)
        key, value = (
            self.key_value(normed)  # (N, L, 2 W)
            .unflatten(-1, (2, self.heads, -1))
            .permute(2, 0, 3, 1, 4)  # (2, N, A, L, D)
        )
        mask = None if visible is None else visible[:, None, None]  # (N, 1, 1, L)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # (N, A, 1, D)
        after: Tensor = self.after(seen.flatten(1), x[rows, read])  # (N, W)
        return after


class ServingTransformer(nn.Module):
    """All blocks, down to the one position of each sequence that is read."""

    def __init__(self, transformer: Transformer, precision: torch.dtype) -> None:
        super().__init__()
        blocks = [block for block in transformer.resblocks if isinstance(block, Block)]
        self.blocks = nn.ModuleList(ServingBlock(block, precision) for block in blocks[:-1])
        self.last = LastBlock(blocks[-1], precision)

    def forward(self, x: Tensor, read: Tensor, visible: Tensor | None = None) -> Tensor:
        """(N, L, W), the (N,) positions read and the (N, L) that they see, to (N, W)."""
        for block in self.blocks:
            x = block(x)
        last: Tensor = self.last(x, read, visible)
        return last


def _asking(block: Block) -> tuple[Tensor, Tensor]:
    return folded(block.ln_1, block.attn.in_proj_weight, block.attn.in_proj_bias)
