"""From the features of a tower to the shared space.

Shape letters: N images or texts, F features of a tower, E embedding width.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualProjection(nn.Module):
    """Features to the shared space: a linear path and, starting at zero, a small network beside it.

    The linear path learns the space in the first steps; the network then bends it.
    """

    def __init__(self, features: int, inner_width: int, embedding_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.linear = nn.Linear(features, embedding_width)
        self.inner = nn.Linear(features, inner_width)
        self.outer = nn.Linear(inner_width, embedding_width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) features to (N, E), not normalised."""
        x = self.norm(features)  # (N, F)
        projected: Tensor = self.linear(x) + self.outer(F.gelu(self.inner(x)))  # (N, E)
        return projected
