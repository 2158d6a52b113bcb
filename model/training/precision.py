"""What towers compute in while they learn; their weights and gradients stay in float32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def learning_in(precision: torch.dtype) -> Iterator[None]:
    """Matrices are multiplied in `precision` until the block ends."""
    # At the lengths of images and texts the fused kernel saves no memory worth having, and its
    # backward pass on processors takes as long as all matrices of the layer together.
    plain_attention = sdpa_kernel(SDPBackend.MATH)
    with plain_attention, torch.autocast("cpu", precision, enabled=precision != torch.float32):
        yield
