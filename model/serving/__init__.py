"""Copies of the towers that only embed, in the forms that do so fastest.

The towers in `model/towers/` stay as their papers have them; what is done here to a copy gives the
same features but for rounding, and cannot be undone.
"""

from model.serving.precision import (
    Precision,
    fastest_precision,
    native_precision,
    serving_precision,
    set_precision,
)
from model.serving.towers import serving_copy

__all__ = [
    "Precision",
    "fastest_precision",
    "native_precision",
    "serving_copy",
    "serving_precision",
    "set_precision",
]
