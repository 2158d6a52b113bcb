"""Which photos and texts a step of a fine-tune sees.

Shape letters: N photos and M distinct texts of the step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """`photos` (N,) and `texts` (M,) are rows of features; `is_pair` (N, M) who belongs to whom."""

    photos: Tensor
    texts: Tensor
    is_pair: Tensor


def pair_batch(
    photos: Sequence[int], rows: Sequence[Sequence[int]], random: torch.Generator
) -> PairBatch:
    """These photos with one of the texts, `rows`, of each.

    A text that several photos drew stands there once. It is the partner of every photo in the
    batch that it is a text of, whether that photo drew it or not.
    """
    texts = list(
        dict.fromkeys(
            rows[photo][int(torch.randint(len(rows[photo]), (1,), generator=random))]
            for photo in photos
        )
    )
    place_of = {text: place for place, text in enumerate(texts)}
    is_pair = torch.zeros(len(photos), len(texts), dtype=torch.bool)
    for row, photo in enumerate(photos):
        for text in rows[photo]:
            if text in place_of:
                is_pair[row, place_of[text]] = True
    return PairBatch(torch.tensor(photos), torch.tensor(texts), is_pair)
