"""What a compact model is asked to do, as one loss of tower features.

Shape letters: N images, M captions, C classes in the step, K all classes, G groups, S synthetic
features, F and W widths of averaged image features and of text features, A width of the image
features pooled by attention.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.training.backbones import Classifier
from model.training.loss import contrastive_loss, matching_loss, turning_loss

# A class or group takes part in the ranking of images only if some image of the step is one.
_LEAST_CLASS_SHARE = 0.2
_LEAST_GROUP_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each part of the loss counts; zero leaves it out.

    `captions`: captions and photos find each other. `classes`: the softmax over class names equals
    the classifier's. `ranking`: a class name ranks the images as the classifier does. `groups`:
    the same for what several classes are together. `keep_images`: the image features still give
    the classifier's answer. `keep_texts`: the text features stay near the pretrained ones.
    `class_scale` multiplies cosines in the parts that follow the classifier.
    """

    captions: float = 1.0
    classes: float = 1.0
    ranking: float = 2.0
    groups: float = 0.3
    keep_images: float = 0.5
    keep_texts: float = 2.0
    class_scale: float = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What a step knows beside features; the first images are those with captions.

    `image_groups` (captioned,) and `caption_groups` (M,) say who belongs together. `classes` (C,)
    are the class indices of the class texts, `membership` (G, K) the members of the group texts.
    `logits` (N, K) are the frozen classifier's for the real images, `text_anchors` (M + C + G, W)
    the frozen text tower's features. The masks multiply features on their way to the projections
    (dropout); the synthetic ones have no features pooled by attention.
    """

    image_groups: Tensor
    caption_groups: Tensor
    classes: Tensor
    membership: Tensor
    logits: Tensor
    synthetic: Tensor  # (S, F)
    synthetic_classes: Tensor  # (S,)
    text_anchors: Tensor
    image_mask: Tensor  # (N + S, F + A)
    text_mask: Tensor  # (M + C + G, W)


def objective(
    model: DualEncoder,
    classifier: Classifier,
    weights: Weights,
    targets: Targets,
    image_features: Tensor,
    text_features: Tensor,
) -> Tensor:
    """The loss of (N, F + A) image features and (M + C + G, W) features of all texts in turn."""
    captioned, captions = len(targets.image_groups), len(targets.caption_groups)
    classes, averaged = len(targets.classes), targets.synthetic.shape[1]
    synthetic = F.pad(targets.synthetic, (0, image_features.shape[1] - averaged))  # (S, F + A)
    seen = torch.cat([image_features, synthetic]) * targets.image_mask  # (N + S, F + A)
    images = F.normalize(model.image_projection(seen), dim=-1)  # (N + S, E)
    texts = F.normalize(
        model.text_projection(text_features * targets.text_mask), dim=-1
    )  # (M + C + G, E)
    total = weights.captions * contrastive_loss(
        images[:captioned],
        texts[:captions],
        targets.image_groups,
        targets.caption_groups,
        model.logit_scale.exp(),
    )
    with torch.no_grad():
        synthetic_logits = targets.synthetic @ classifier.weight.T + classifier.bias
        log_shares = torch.cat([targets.logits, synthetic_logits]).log_softmax(dim=1)  # (N + S, K)
    scores = weights.class_scale * images @ texts[captions : captions + classes].T  # (N + S, C)
    total = total + _follow_classifier(scores, log_shares, weights, targets)
    if weights.groups:
        group_scores = weights.class_scale * images @ texts[captions + classes :].T  # (N + S, G)
        shares = log_shares.exp() @ targets.membership.T  # (N + S, G)
        total = total + weights.groups * _ranking(group_scores, shares, _LEAST_GROUP_SHARE)
    if weights.keep_images and image_features.requires_grad:
        logits = image_features[:, :averaged] @ classifier.weight.T + classifier.bias
        teacher = targets.logits.softmax(dim=1)
        total = total + weights.keep_images * matching_loss(logits, teacher, dim=1)
    if weights.keep_texts and text_features.requires_grad:
        total = total + weights.keep_texts * turning_loss(text_features, targets.text_anchors)
    return total


def _follow_classifier(
    scores: Tensor, log_shares: Tensor, weights: Weights, targets: Targets
) -> Tensor:
    chosen = log_shares[:, targets.classes]  # (N + S, C)
    # Among the classes of this step only, which is what the step's texts can express.
    total = weights.classes * matching_loss(scores, chosen.softmax(dim=1), dim=1)
    position = torch.full((log_shares.shape[1],), -1)
    position[targets.classes] = torch.arange(len(targets.classes))
    if len(targets.synthetic_classes):
        named = F.cross_entropy(
            scores[-len(targets.synthetic_classes) :], position[targets.synthetic_classes]
        )
        total = total + 0.5 * weights.classes * named
    if weights.ranking:
        total = total + weights.ranking * _ranking(scores, chosen.exp(), _LEAST_CLASS_SHARE)
    return total


def _ranking(scores: Tensor, shares: Tensor, least: float) -> Tensor:
    takes_part = shares.amax(dim=0) > least
    if not takes_part.any():
        return scores.sum() * 0
    kept = shares[:, takes_part]
    return matching_loss(scores[:, takes_part], kept / kept.sum(dim=0), dim=0)
