"""Holding on to what a model knew before it is fine-tuned.

A fine-tune sees photos of one kind. What it does to all others is held by three things that need
no other photos: everyday queries (`general_queries.txt`, written for this) keep their embeddings;
features mixed of those of many photos, channel by channel, are like no photo there is and keep
their embeddings too, so that the head may turn only where the photos lie; and the photos go on
ranking the everyday queries as they did.

Shape letters: P photos, Q everyday queries, S mixed features, F features of a tower, E embedding
width.
"""

from dataclasses import dataclass
from importlib.resources import files

import torch
import torch.nn.functional as F
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.training.loss import matching_loss, paired_loss, turning_loss

# Softens the shares of the queries so that not the first one alone counts.
_QUERY_SCALE = 20.0


@dataclass(frozen=True, slots=True)
class HoldWeights:
    """How much each counts beside the pairs' loss; zero leaves it out.

    On ten labels of 3,068 product photos the recall@10 of everyday photos fell from 0.694 to 0.499
    with nothing held, to 0.661 with 1, 1 and 0.3, to 0.672 with 5, 5 and 1 and to 0.677 with 20, 20
    and 3, while the photos named right stayed between 0.886 and 0.897; forty photos learn a little
    less the harder the hold is.
    """

    queries: float = 10.0
    mixed: float = 10.0
    ranking: float = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a step holds: unit rows of the start for its queries, mixed features and photos.

    `mixed` (S, F) are features; `query_anchors` (Q, E), `mixed_anchors` (S, E) and `photo_anchors`
    (N, E) are what the start makes of the step's queries, mixed features and photos.
    """

    mixed: Tensor
    query_anchors: Tensor
    mixed_anchors: Tensor
    photo_anchors: Tensor


def general_queries() -> tuple[str, ...]:
    """The everyday queries that ship with the program."""
    text = (files("model.training") / "general_queries.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def mixed_features(features: Tensor, count: int, random: torch.Generator) -> Tensor:
    """(count, F): each channel from another of the photos, (P, F), drawn at random."""
    photos = torch.randint(len(features), (count, features.shape[1]), generator=random)
    return features.gather(0, photos)


def tuning_loss(
    model: DualEncoder,
    weights: HoldWeights,
    held: Held,
    is_pair: Tensor,
    photos: Tensor,
    texts: Tensor,
    queries: Tensor,
) -> Tensor:
    """The loss of a step, from what the heads make of its photos, texts and queries.

    `photos` (N, E), `texts` (M, E) and `queries` (Q, E) are not normalised; `is_pair` is (N, M).
    """
    photos, texts, queries = (F.normalize(rows, dim=-1) for rows in (photos, texts, queries))
    total = paired_loss(photos, texts, is_pair, model.logit_scale.exp())
    if weights.queries:
        total = total + weights.queries * turning_loss(queries, held.query_anchors)
    if weights.mixed and len(held.mixed):
        turned = F.normalize(model.image_projection(held.mixed), dim=-1)
        total = total + weights.mixed * turning_loss(turned, held.mixed_anchors)
    if weights.ranking:
        before = _QUERY_SCALE * held.photo_anchors @ held.query_anchors.T  # (N, Q)
        after = _QUERY_SCALE * photos @ queries.T
        total = total + weights.ranking * matching_loss(after, before.softmax(dim=1), dim=1)
    return total
