"""Large contrastive batches in little memory.

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021
(GradCache).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from model.training.processes import ALONE, Processes

# Computes one chunk's features from what it has captured; the same features every time.
Chunk = Callable[[], Tensor]


def backward_in_chunks(
    inputs: Sequence[Sequence[Chunk]],
    loss_of: Callable[..., Tensor],
    processes: Processes = ALONE,
) -> Tensor:
    """Add the gradients of `loss_of(*features)` and give the loss, one chunk's graph at a time.

    Each of `inputs` is a list of chunks whose features, put together along the first dimension,
    are one argument of `loss_of`. First all features are computed without a graph, then the loss
    and its gradient in the features, then each chunk again with that gradient. The result equals
    the direct computation when nothing in a chunk is random or depends on its size.

    Of several processes each is given the same chunks and computes those it owns; the gradients
    that each then has are its share, and their sum over the processes is the whole.
    """
    with torch.no_grad():
        parts = [
            processes.gather(
                [chunk() if processes.owns(place) else None for place, chunk in enumerate(chunks)]
            )
            for chunks in inputs
        ]
    features = [torch.cat(pieces).requires_grad_() for pieces in parts]
    loss = loss_of(*features)
    # What the loss itself holds is computed by every process alike: each adds an equal share.
    (loss / processes.count).backward()  # type: ignore[no-untyped-call]
    for chunks, pieces, whole in zip(inputs, parts, features, strict=True):
        start = 0
        for place, (chunk, piece) in enumerate(zip(chunks, pieces, strict=True)):
            begin, start = start, start + len(piece)
            if whole.grad is None or not processes.owns(place):
                continue
            part = chunk()
            # A frozen tower gives features without a graph: there is nothing to carry back.
            if part.requires_grad:
                torch.autograd.backward(part, whole.grad[begin:start] * processes.count)
    return loss.detach()
