"""Weights between the start and the end of training.

Source: Wortsman et al., "Robust fine-tuning of zero-shot models", 2022 (WiSE-FT).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from model.training.fine_tuning_settings import Blend
from model.training.gate import AllowedFalls, checks_of
from model.training.measures import Verdict

# Differences below this are noise on a few hundred held-out photos.
_NEARLY = 0.005

SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# Without held-out pairs nothing says how far to go: the middle is the source's own advice.
_SHARE_UNMEASURED = 0.5


def lerped(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """The state `share` of the way from `start` to `end`; whole numbers are those of `end`."""
    return {
        name: torch.lerp(start[name], tensor, share) if tensor.is_floating_point() else tensor
        for name, tensor in end.items()
    }


def choose_blend(blends: Sequence[Blend], before: Verdict, allowed: AllowedFalls) -> Blend:
    """The blend whose held-out pairs fare best among those that fall no further than allowed.

    Of nearly equal ones the nearest to the start is taken. Where all fall further it is the one
    that agrees most with the start.
    """
    measured = [blend for blend in blends if blend.verdict.measures is not None]
    if not measured:
        return min(blends, key=lambda blend: abs(blend.share - _SHARE_UNMEASURED))
    falls = ("agreement", "general_recall")
    allowed_ones = [
        blend
        for blend in measured
        if all(
            check.passed or check.name not in falls
            for check in checks_of(before, blend.verdict, allowed)
        )
    ]
    if not allowed_ones:
        return max(measured, key=lambda blend: blend.verdict.agreement)
    best = max(blend.verdict.worth() for blend in allowed_ones)
    near = [blend for blend in allowed_ones if blend.verdict.worth() >= best - _NEARLY]
    return min(near, key=lambda blend: blend.share)
