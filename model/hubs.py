"""Hubs: images that are near to many texts and so come up for each of them. They are held back.

In a space of many dimensions some points are among the nearest of very many others (Radovanovic et
al., "Hubs in Space", 2010). How much of a hub an image is can be told from texts that nobody asked:
a bank of them. Searches are then ranked by the cosine less a share of that, as in the inverted
softmax (Smith et al., "Offline bilingual word vectors, orthogonal transformations and the inverted
softmax", 2017) and in querybank normalisation (Bogolin et al., "Cross Modal Retrieval with
Querybank Normalisation", 2022). Here it is part of the embedding, so that an index of inner
products needs to know nothing of it: along one direction all texts have the same coordinate, and
that of an image is the lower the more of a hub it is.

Shape letters: N images or texts, F features of a tower, E embedding width, K texts of the bank.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model.projections import ResidualProjection

# The coordinate of every text along that direction; the others are shortened to what that leaves.
_TEXT_COORDINATE = 0.3
_TEXT_REST = math.sqrt(1 - _TEXT_COORDINATE**2)
# No image may be told by that coordinate alone.
_MOST = 0.5
# The higher, the fewer texts of the bank count, the nearest. Chosen on a dev split.
_SHARPNESS = 20.0


class HubAwareImages(ResidualProjection):
    """Image features to unit rows of which one coordinate, before `spread`, holds hubs back.

    For an image x and the texts q of the bank, hubness(x) = log(sum(exp(s * x @ q))) / s, and what
    a search loses by it is strength * (hubness(x) - level) in units of the cosine. With a strength
    of zero, as at first, nothing.
    """

    bank: Tensor
    level: Tensor
    strength: Tensor

    def __init__(
        self, features: int, inner_width: int, embedding_width: int, bank_texts: int
    ) -> None:
        super().__init__(features, inner_width, embedding_width - 1)
        self.register_buffer("bank", torch.zeros(bank_texts, embedding_width - 1))
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("strength", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) features to (N, E) unit rows."""
        x = F.normalize(super().forward(features), dim=-1)  # (N, E - 1)
        loss = self.strength * (self._hubness(x) - self.level)  # (N,)
        last = (-loss * _TEXT_REST / _TEXT_COORDINATE).clamp(-_MOST, _MOST)[:, None]  # (N, 1)
        return spread(torch.cat([x * (1 - last.square()).sqrt(), last], dim=-1))

    @torch.no_grad()
    def hold_back(self, texts: Tensor, images: Tensor, strength: float) -> None:
        """Take the bank of (K, E) embedded texts, and the mean of (N, E) images as the level."""
        self.bank.copy_(F.normalize(spread(texts)[:, :-1], dim=-1))
        self.level.copy_(self._hubness(F.normalize(spread(images)[:, :-1], dim=-1)).mean())
        self.strength.fill_(strength)

    def _hubness(self, x: Tensor) -> Tensor:
        return (_SHARPNESS * x @ self.bank.T).logsumexp(dim=-1) / _SHARPNESS


class TextsBesideHubs(ResidualProjection):
    """Text features to unit rows that, before `spread`, all have the same last coordinate."""

    def __init__(self, features: int, inner_width: int, embedding_width: int) -> None:
        super().__init__(features, inner_width, embedding_width - 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) features to (N, E) unit rows."""
        x = F.normalize(super().forward(features), dim=-1)  # (N, E - 1)
        last = x.new_full((len(x), 1), _TEXT_COORDINATE)
        return spread(torch.cat([x * _TEXT_REST, last], dim=-1))


def spread(x: Tensor) -> Tensor:
    """(N, E) rows with each coordinate made of all, by Hartley's transform; twice, as they were.

    Inner products stay. An index that stores a few coordinates together in few bits loses the best
    hits where some of them decide much more than others.

    Source: Bracewell, "Discrete Hartley transform", 1983.
    """
    return x @ _hartley(x.shape[-1]).to(x)


@functools.cache
def _hartley(width: int) -> Tensor:
    # An ordinary tensor, whoever asks first: one of inference mode could not be used in training.
    with torch.inference_mode(mode=False):
        steps = torch.arange(width, dtype=torch.float64)
        turns = 2 * math.pi / width * torch.outer(steps, steps)  # (E, E)
        return ((turns.cos() + turns.sin()) / math.sqrt(width)).float()
