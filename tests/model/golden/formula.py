"""Weights and pixels from a formula, so that no file has to carry them."""

import zlib

import numpy as np
import torch
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def noise(name: str, shape: torch.Size) -> Tensor:
    """Values in [-1, 1) without a pattern, of the name alone: the same in every release.

    Source: Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014 (SplitMix64).
    """
    start = np.uint64(zlib.crc32(name.encode()))
    mixed = (np.arange(1, shape.numel() + 1, dtype=np.uint64) * _GOLDEN) ^ (start << np.uint64(32))
    for shift, factor in zip((30, 27), _MIX, strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    mixed ^= mixed >> np.uint64(31)
    # The upper 24 bits: as many as single precision tells apart.
    values = (mixed >> np.uint64(40)).astype(np.float32) / 2**23 - 1
    return torch.from_numpy(values).view(shape)


def fill(state: dict[str, Tensor]) -> None:
    """Put values into a tower's tensors under which features keep their size through the layers."""
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        values = noise(name, tensor.shape)
        if name.endswith("running_var"):
            tensor.copy_(1 + 0.5 * values)
        elif tensor.ndim == 1:
            tensor.copy_(0.2 * values + name.endswith("weight"))
        else:
            tensor.copy_(values * (3 / tensor[0].numel()) ** 0.5)
