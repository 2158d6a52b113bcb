"""Batch normalisation as part of the convolution before it."""

import torch
from torch import Tensor, nn


def folded(conv: nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of the convolution that does what `norm` does after `conv`.

    In evaluation mode batch normalisation is one multiplication and addition a channel, which the
    weight and a bias can hold: same features to rounding, fewer passes over memory.
    """
    weight = conv.weight.detach()  # (C', C / groups, kernel, kernel)
    bias = None if conv.bias is None else conv.bias.detach()
    if not isinstance(norm, nn.BatchNorm2d):
        return weight, bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)  # (C',)
    shift = norm.bias.detach() - norm.running_mean * scale
    if bias is not None:
        shift = shift + bias * scale
    return weight * scale[:, None, None, None], shift
