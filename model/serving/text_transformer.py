"""CLIP's text transformer in the form that embeds fastest.

Shape letters: N texts, L positions, W width, E embedding width.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.serving.transformer import ServingTransformer
from model.towers.text_transformer import TextTransformer, end_positions


class ServingTextTransformer(nn.Module):
    """Token ids to the first end-of-text token's feature, projected, which stays in float32."""

    def __init__(self, tower: TextTransformer, precision: torch.dtype) -> None:
        super().__init__()
        self.config = tower.config
        self.token_embedding = nn.Parameter(
            tower.token_embedding.weight.detach().to(precision, copy=True), requires_grad=False
        )
        self.positional_embedding = nn.Parameter(
            tower.positional_embedding.detach().to(precision, copy=True), requires_grad=False
        )
        self.transformer = ServingTransformer(tower.transformer, precision)
        self.ln_final = copy.deepcopy(tower.ln_final)
        self.text_projection = copy.deepcopy(tower.text_projection)

    def forward(self, ids: Tensor, is_token: Tensor) -> Tensor:
        """(N, L) ids and (N, L) booleans, false at padding, to (N, E) float32, not normalised.

        Raises ValueError for a text without an end token.
        """
        ends = end_positions(ids, is_token, self.config.end_token)  # (N,)
        length = ids.shape[1]
        x = F.embedding(ids, self.token_embedding) + self.positional_embedding[:length]  # (N, L, W)
        visible = torch.arange(length, device=ids.device) <= ends[:, None]  # (N, L)
        x = self.transformer(x, ends, visible).float()  # (N, W)
        projected: Tensor = self.ln_final(x) @ self.text_projection  # (N, E)
        return projected
