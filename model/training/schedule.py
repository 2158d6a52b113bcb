"""The learning rate as a function of the step.

Source: Loshchilov and Hutter, "SGDR", 2017 (cosine), with the linear warm-up of Goyal et al., 2017.
"""

import math


def rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """The share of the peak rate at `step`, counted from 0, of `steps`.

    1. It rises linearly over `warmup_steps`, the first step being above zero already.
    2. Then it falls along half a cosine, and would be zero at `steps`.
    3. From `steps` on it is zero.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if step >= steps:
        return 0.0
    done = (step - warmup_steps) / (steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))
