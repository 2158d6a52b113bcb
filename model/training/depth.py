"""Which parameters a fine-tune trains, and at which rates.

Source of layer-wise rates: Clark et al., "ELECTRA", 2020; Bao et al., "BEiT", 2021.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Literal

from torch import nn

from model.dual_encoder import DualEncoder
from model.errors import TrainingError
from model.towers.adapted import AdaptedImageTower, AdaptedTextTower, adapted_stages
from model.towers.bert import Bert
from model.towers.efficientnet_lite import EfficientNetLite
from model.towers.modified_resnet import ModifiedResNet
from model.towers.text_transformer import TextTransformer
from model.towers.vision_transformer import VisionTransformer
from model.training.trainer import RateGroup

# Each block learns this much slower than the one above it.
_DECAY = 0.8
# "The last blocks" are this share of a tower's.
_LAST_SHARE = 0.25


def train_heads(model: DualEncoder, rate: float) -> list[RateGroup]:
    """Only the heads and the temperature need gradients from now on."""
    model.requires_grad_(requires_grad=False)
    model.logit_scale.requires_grad = True
    heads = (model.image_projection, model.text_projection)
    for head in heads:
        head.requires_grad_(requires_grad=True)
    return [RateGroup(heads, rate)]


def train_towers(
    model: DualEncoder,
    trained: Literal["last_blocks", "all"],
    *,
    head_rate: float,
    tower_rate: float,
) -> list[RateGroup]:
    """The heads, and of each tower the last blocks or all of it, need gradients from now on.

    A tower's last block has `tower_rate`, each before it less.
    """
    groups = train_heads(model, head_rate)
    for tower in (model.image_tower, model.text_tower):
        blocks = blocks_of(tower)
        first = 0 if trained == "all" else len(blocks) - max(1, round(_LAST_SHARE * len(blocks)))
        for distance, parameters in enumerate(reversed(blocks[first:])):
            for parameter in parameters:
                parameter.requires_grad = True
            groups.append(RateGroup((), tower_rate * _DECAY**distance, tuple(parameters)))
    return groups


def blocks_of(tower: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of a tower by block, from the input to the output; each is in one block."""
    stages: Sequence[Sequence[nn.Module]]
    match tower:
        case Bert():
            stages = [[tower.embeddings], *([layer] for layer in tower.layers)]
        case EfficientNetLite():
            stages = [[tower.stem], *([block] for block in tower.blocks)]
        case VisionTransformer():
            stages = [[tower.conv1, tower.ln_pre], *([one] for one in tower.transformer.resblocks)]
        case TextTransformer():
            stages = [[tower.token_embedding], *([one] for one in tower.transformer.resblocks)]
        case ModifiedResNet():
            stem = [tower.conv1, tower.bn1, tower.conv2, tower.bn2, tower.conv3, tower.bn3]
            layers = (tower.layer1, tower.layer2, tower.layer3, tower.layer4)
            stages = [stem, *([block] for layer in layers for block in layer)]
        case AdaptedImageTower() | AdaptedTextTower():
            stages = adapted_stages(tower)
        case _:
            raise TrainingError(f"{type(tower).__name__} can't be trained by blocks.")
    blocks = [list(chain(*(module.parameters() for module in stage))) for stage in stages]
    known = {id(parameter) for block in blocks for parameter in block}
    # Positions and class tokens belong to the input; norms, pools and projections to the output.
    for name, parameter in tower.named_parameters():
        if id(parameter) not in known:
            is_input = "embedding" in name and "." not in name
            blocks[0 if is_input else -1].append(parameter)
    return blocks
