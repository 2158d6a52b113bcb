"""Large contrastive batches in little memory.

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021
(GradCache).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Computes one chunk's features from what it has captured; the same features every time.
Chunk = Callable[[], Tensor]


def backward_in_chunks(inputs: Sequence[Sequence[Chunk]], loss_of: Callable[..., Tensor]) -> Tensor:
    """Add the gradients of `loss_of(*features)` and give the loss, one chunk's graph at a time.

    Each of `inputs` is a list of chunks whose features, put together along the first dimension,
    are one argument of `loss_of`. First all features are computed without a graph, then the loss
    and its gradient in the features, then each chunk again with that gradient. The result equals
    the direct computation when nothing in a chunk is random or depends on its size.
    """
    with torch.no_grad():
        features = [torch.cat([chunk() for chunk in chunks]) for chunks in inputs]
    for whole in features:
        whole.requires_grad_()
    loss = loss_of(*features)
    loss.backward()  # type: ignore[no-untyped-call]
    for chunks, whole in zip(inputs, features, strict=True):
        start = 0
        for chunk in chunks:
            part = chunk()
            gradient = whole.grad[start : start + len(part)] if whole.grad is not None else None
            start += len(part)
            # A frozen tower gives features without a graph: there is nothing to carry back.
            if gradient is not None and part.requires_grad:
                torch.autograd.backward(part, gradient)
    return loss.detach()
