"""The part of a dual encoder that is trained alone: what comes after each tower.

Where a projection has weights it is the head. CLIP's towers end with their own projection; there a
linear map that starts as the identity stands in during training and is multiplied into the tower's
last matrix afterwards, so that the stored architecture stays what it was.

Shape letters: E embedding width.
"""

import torch
from torch import nn

from model.dual_encoder import DualEncoder
from model.errors import TrainingError
from model.towers.modified_resnet import ModifiedResNet
from model.towers.text_transformer import TextTransformer
from model.towers.vision_transformer import VisionTransformer


def put_heads(model: DualEncoder) -> None:
    """Give both sides a head that can be trained, in place; embeddings stay the same."""
    model.image_projection = _head(model.image_projection, model.image_tower)
    model.text_projection = _head(model.text_projection, model.text_tower)


@torch.no_grad()
def fold_heads(model: DualEncoder) -> None:
    """Take away what `put_heads` added, in place; embeddings stay the same to rounding."""
    if isinstance(model.image_projection, _StandIn):
        _fold(model.image_projection, model.image_tower)
        model.image_projection = nn.Identity()
    if isinstance(model.text_projection, _StandIn):
        _fold(model.text_projection, model.text_tower)
        model.text_projection = nn.Identity()


class _StandIn(nn.Linear):
    """(N, E) to (N, E) without a bias, at first the identity."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, bias=False)
        nn.init.eye_(self.weight)


def _head(projection: nn.Module, tower: nn.Module) -> nn.Module:
    if any(True for _ in projection.parameters()):
        return projection
    match tower:
        case ModifiedResNet() | VisionTransformer() | TextTransformer():
            return _StandIn(tower.config.embedding_width)
    raise TrainingError(f"{type(tower).__name__} has no head that can be trained alone.")


def _fold(head: _StandIn, tower: nn.Module) -> None:
    match tower:
        case VisionTransformer():
            tower.proj.copy_(tower.proj @ head.weight.T)
        case TextTransformer():
            tower.text_projection.copy_(tower.text_projection @ head.weight.T)
        case ModifiedResNet():
            last = tower.attnpool.c_proj
            last.weight.copy_(head.weight @ last.weight)
            last.bias.copy_(head.weight @ last.bias)
