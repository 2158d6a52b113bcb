"""Small matrices beside the towers' own: LoRA, by the library `peft` (an extra).

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.
"""

from importlib.util import find_spec

import torch
from torch import nn

from model.dual_encoder import DualEncoder
from model.errors import TrainingError
from model.training.trainer import RateGroup

_RANK = 8
_SCALE = 16


def put_adapters(model: DualEncoder, rate: float) -> list[RateGroup]:
    """Give every linear layer of both towers an adapter, in place; embeddings stay the same.

    Only the adapters need gradients then, beside what needed them before. The seed of torch decides
    how they begin. Raises TrainingError when `peft` is not installed or there is no linear layer.
    """
    if find_spec("peft") is None:
        raise TrainingError("Training by LoRA needs beholder's extra 'lora'.")
    # An optional package, and slow to import.
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415

    adapted = []
    for tower in (model.image_tower, model.text_tower):
        names = [name for name, part in tower.named_modules() if type(part) is nn.Linear]
        if not names:
            continue
        config = LoraConfig(r=_RANK, lora_alpha=_SCALE, lora_dropout=0.0, target_modules=names)
        inject_adapter_in_model(config, tower)
        adapted.append(tower)
    if not adapted:
        raise TrainingError("Neither tower has a linear layer that LoRA could stand beside.")
    learning = tuple(
        parameter
        for tower in adapted
        for name, parameter in tower.named_parameters()
        if "lora_" in name
    )
    for parameter in learning:
        parameter.requires_grad = True
    return [RateGroup((), rate, learning)]


@torch.no_grad()
def merge_adapters(model: DualEncoder) -> None:
    """Add what the adapters have learnt to the layers they stand beside, and take them away."""
    from peft.tuners.lora import LoraLayer  # noqa: PLC0415

    for tower in (model.image_tower, model.text_tower):
        for name, part in list(tower.named_modules()):
            if isinstance(part, LoraLayer):
                part.merge()
                parent = tower.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], part.get_base_layer())
    model.eval()
