"""CLIP's text transformer: the feature of the end-of-text token, which has seen the whole text.

Source: Radford et al., 2021, section 2.4. Parameter names are those of OpenAI's checkpoints.

Shape letters: N texts, L positions, W width, E embedding width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.towers.transformer import Activation, Transformer


@dataclass(frozen=True, slots=True)
class TextTransformerConfig:
    """`positions` is the context length; the feature of `end_token` stands for the text."""

    vocabulary: int
    positions: int
    width: int
    layers: int
    heads: int
    inner_width: int
    embedding_width: int
    activation: Activation
    end_token: int


class TextTransformer(nn.Module):
    """Token ids to the first end-of-text token's feature, projected."""

    def __init__(self, config: TextTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(config.positions, config.width))
        self.transformer = Transformer(
            config.width,
            config.layers,
            config.heads,
            config.inner_width,
            config.activation,
            is_causal=True,
        )
        self.ln_final = nn.LayerNorm(config.width)
        self.text_projection = nn.Parameter(
            config.width**-0.5 * torch.randn(config.width, config.embedding_width)
        )
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, ids: Tensor, is_token: Tensor) -> Tensor:
        """(N, L) ids and (N, L) booleans, false at padding, to (N, E), not normalised.

        L may be any length up to `config.positions`. What follows the first end token changes
        nothing, since no position sees a later one. Raises ValueError for a text without one.
        """
        ends = end_positions(ids, is_token, self.config.end_token)  # (N,)
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]  # (N, L, W)
        x = self.transformer(x)  # (N, L, W)
        x = self.ln_final(x[torch.arange(x.shape[0], device=x.device), ends])  # (N, W)
        projected: Tensor = x @ self.text_projection  # (N, E)
        return projected


def end_positions(ids: Tensor, is_token: Tensor, end_token: int) -> Tensor:
    """Where the first end token of each text is, (N,), of (N, L) ids and booleans.

    Raises ValueError for a text without one.
    """
    is_end = (ids == end_token) & is_token  # (N, L)
    if not is_end.any(dim=1).all():
        raise ValueError(f"a text has no end token ({end_token})")
    return is_end.int().argmax(dim=1)
