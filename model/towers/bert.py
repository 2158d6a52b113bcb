"""BERT as a sentence encoder: the mean of the last layer's positions.

Sources: Devlin et al., "BERT", 2019 (embeddings and layers, normalisation after each residual);
Wang et al., "MiniLM", 2020 (the six-layer size); Reimers and Gurevych, "Sentence-BERT", 2019
(mean pooling).

Shape letters: N texts, L positions, W width, A attention heads, D width of one head.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, arange, nn

NORM_EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The default is MiniLM-L6; `positions` is the context length, trained up to 512."""

    vocabulary: int = 30_522
    positions: int = 128
    width: int = 384
    layers: int = 6
    heads: int = 12
    inner_width: int = 1536


class Embeddings(nn.Module):
    """Word plus position plus segment, normalised; every text is wholly of segment 0."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.segment = nn.Embedding(1, config.width)
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPSILON)

    def forward(self, ids: Tensor) -> Tensor:
        """(N, L) ids to (N, L, W)."""
        places = arange(ids.shape[1], device=ids.device)  # (L,)
        summed = self.words(ids) + self.positions(places) + self.segment.weight[0]  # (N, L, W)
        normed: Tensor = self.norm(summed)
        return normed


class Attention(nn.Module):
    """Multi-head self-attention; padding is seen by nobody."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """(N, L, W) and where keys are visible, (N, 1, 1, L), to (N, L, W)."""
        n, length, width = x.shape
        query, key, value = (
            linear(x).view(n, length, self.heads, -1).transpose(1, 2)  # (N, A, L, D)
            for linear in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        mixed: Tensor = self.output(seen.transpose(1, 2).reshape(n, length, width))  # (N, L, W)
        return mixed


class Layer(nn.Module):
    """Attention and a two-layer network, each added to its input and normalised after."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(config.width, eps=NORM_EPSILON)
        self.inner = nn.Linear(config.width, config.inner_width)
        self.outer = nn.Linear(config.inner_width, config.width)
        self.outer_norm = nn.LayerNorm(config.width, eps=NORM_EPSILON)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """(N, L, W) and where keys are visible, (N, 1, 1, L), to (N, L, W)."""
        x = self.attention_norm(x + self.attention(x, visible))
        normed: Tensor = self.outer_norm(x + self.outer(F.gelu(self.inner(x))))
        return normed


class Bert(nn.Module):
    """Token ids to one feature vector a text."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def forward(self, ids: Tensor, is_token: Tensor) -> Tensor:
        """(N, L) ids and (N, L) booleans, false at padding, to (N, W) features, not normalised.

        L may be any length up to `config.positions`; padding on the right changes nothing.
        """
        visible = is_token[:, None, None, :]  # (N, 1, 1, L)
        x = self.embeddings(ids)  # (N, L, W)
        for layer in self.layers:
            x = layer(x, visible)
        weight = is_token[..., None].to(x.dtype)  # (N, L, 1)
        mean: Tensor = (x * weight).sum(dim=1) / weight.sum(dim=1)  # (N, W)
        return mean
