"""oneDNN's matrix and convolution kernels, with weights in their own layout and fused endings.

torch has operators for them, which its compiler calls; its layers do not, and bring the weights
into that layout in every call. That is done once here. The operators' names begin with an
underscore: no other module calls them, and where they are missing, plain torch computes.

Shape letters: K inputs, M outputs; `...` is any shape.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# A layout is picked for some number of rows; the one for this many was as fast as any other from
# one row to some thousand.
_ROWS = 256

# The operators' names and arguments of what they may do to the result.
_ACTIVATIONS: dict[str, tuple[str, list[float], str]] = {
    "none": ("none", [], ""),
    "gelu": ("gelu", [], "none"),
    "swish": ("swish", [], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
}


def is_there(device: torch.device, precision: torch.dtype) -> bool:
    """Whether oneDNN computes on the device, in that precision."""
    operators = _operators()
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return all(
        hasattr(operators, name) for name in ("_linear_pointwise", "_convolution_pointwise")
    ) and bool(precision == torch.float32 or operators._is_mkldnn_bf16_supported())  # noqa: SLF001


def packed_linear(weight: Tensor) -> Tensor:
    """An (M, K) weight in the layout of the kernels."""
    packed: Tensor = _operators()._reorder_linear_weight(weight, _ROWS)  # noqa: SLF001
    return packed


def linear(
    x: Tensor, packed: Tensor, bias: Tensor | None, activation: str, residual: Tensor | None
) -> Tensor:
    """(..., K) to (..., M): the activation of the linear map, or its sum with a residual."""
    operator = _operators()._linear_pointwise  # noqa: SLF001
    mapped: Tensor
    if residual is None:
        mapped = operator(x, packed, bias, *_ACTIVATIONS[activation])
    else:
        mapped = operator.binary(x, residual, packed, bias, "add")
    return mapped


def packed_convolution(weight: Tensor, padding: int, stride: int, groups: int) -> Tensor:
    """A convolution's weight in the layout of the kernels."""
    packed: Tensor = _operators()._reorder_convolution_weight(  # noqa: SLF001
        weight, *_geometry(padding, stride, groups)
    )
    return packed


def convolution(
    x: Tensor,
    packed: Tensor,
    bias: Tensor | None,
    geometry: tuple[int, int, int],
    activation: str,
    residual: Tensor | None,
) -> Tensor:
    """The activation of the convolution, or of its sum with a residual.

    `geometry` is the padding, stride and number of groups that the weight was packed for.
    """
    operator = _operators()._convolution_pointwise  # noqa: SLF001
    ending: Sequence[Any] = _ACTIVATIONS[activation]
    convolved: Tensor
    if residual is None:
        convolved = operator(x, packed, bias, *_geometry(*geometry), *ending)
    else:
        if activation == "none":
            ending = (None, [], "")
        convolved = operator.binary(
            x, residual, packed, bias, *_geometry(*geometry), "add", None, *ending
        )
    return convolved


def _geometry(
    padding: int, stride: int, groups: int
) -> tuple[list[int], list[int], list[int], int]:
    return [padding] * 2, [stride] * 2, [1, 1], groups


def _operators() -> Any:
    return torch.ops.mkldnn
