"""The losses a dual encoder is trained with; plain functions of tensors.

Shape letters: N images, M texts, C classes, E embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(
    images: Tensor, texts: Tensor, image_groups: Tensor, text_groups: Tensor, scale: Tensor
) -> Tensor:
    """Symmetric cross-entropy over the N x M similarities, with joint positives.

    `images` (N, E) and `texts` (M, E) are unit rows, logits are `scale` times their cosines. An
    image and a text belong together when their groups, (N,) and (M,) integers, are equal; every
    row and column needs such a partner. Several partners share the target evenly, so that the
    captions of one photo, or two copies of a text, are never each other's negatives.
    With one partner each it is the loss of Radford et al., 2021, figure 3.
    """
    return paired_loss(images, texts, image_groups[:, None] == text_groups[None, :], scale)


def paired_loss(images: Tensor, texts: Tensor, is_pair: Tensor, scale: Tensor) -> Tensor:
    """`contrastive_loss` where (N, M) booleans say which image and text belong together."""
    logits = scale * images @ texts.T  # (N, M)
    positives = is_pair.to(logits.dtype)
    return (_soft(logits, positives) + _soft(logits.T, positives.T)) / 2


def matching_loss(student: Tensor, teacher: Tensor, dim: int) -> Tensor:
    """Mean divergence of softmax(`student`) from the distribution `teacher` along `dim`.

    Both are (N, C). Zero when they agree. Source: Hinton et al., "Distilling the Knowledge in a
    Neural Network", 2015, in the direction KL(teacher || student).
    """
    divergence: Tensor = F.kl_div(student.log_softmax(dim), teacher, reduction="none")
    total: Tensor = divergence.sum(dim).mean()
    return total


def turning_loss(vectors: Tensor, anchors: Tensor) -> Tensor:
    """Mean of one minus the cosine between each vector (N, E) and its anchor (N, E)."""
    turned: Tensor = (1 - F.cosine_similarity(vectors, anchors, dim=-1)).mean()
    return turned


def _soft(logits: Tensor, positives: Tensor) -> Tensor:
    targets = positives / positives.sum(dim=1, keepdim=True)
    # Minus the targets' own entropy, so that a perfect model's loss is zero with any number of
    # partners.
    entropy = -torch.special.xlogy(targets, targets).sum(dim=1).mean()
    loss: Tensor = F.cross_entropy(logits, targets) - entropy
    return loss
