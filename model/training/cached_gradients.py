"""Large contrastive batches in little memory.

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021
(GradCache).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from model.training.graphs import graph_bytes
from model.training.processes import ALONE, Processes

# Computes one chunk's features from what it has captured; the same features every time.
Chunk = Callable[[], Tensor]

# Graphs that are kept need not be computed again. Beside those of one chunk no more is held.
GRAPH_BYTES = 1_500_000_000


def backward_in_chunks(
    inputs: Sequence[Sequence[Chunk]],
    loss_of: Callable[..., Tensor],
    processes: Processes = ALONE,
    graph_limit: int = GRAPH_BYTES,
) -> Tensor:
    """Add the gradients of `loss_of(*features)` and give the loss, few chunks' graphs at a time.

    Each of `inputs` is a list of chunks whose features, put together along the first dimension,
    are one argument of `loss_of`. First all features are computed, with a graph as long as graphs
    take at most `graph_limit` bytes, then the loss and its gradient in the features, which each
    chunk's graph carries on; the chunks without one are computed again, one at a time. The result
    equals the direct computation when nothing in a chunk is random or depends on its size.

    Of several processes each is given the same chunks and computes those it owns; the gradients
    that each then has are its share, and their sum over the processes is the whole.
    """
    kept = _KeptGraphs(graph_limit)
    parts = [
        processes.gather(
            [
                kept.features(chunk) if processes.owns(place) else None
                for place, chunk in enumerate(chunks)
            ]
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
            part = kept.taken(chunk)
            # A frozen tower gives features without a graph: there is nothing to carry back.
            if part.requires_grad:
                torch.autograd.backward(part, whole.grad[begin:start] * processes.count)
    return loss.detach()


class _KeptGraphs:
    """Features of chunks, the first ones with their graphs, as long as these are within a limit."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._kept: dict[Chunk, Tensor] = {}

    def features(self, chunk: Chunk) -> Tensor:
        """The chunk's features, whose graph, if there is one, stays here."""
        if self._left <= 0:
            with torch.no_grad():
                return chunk()
        features, size = graph_bytes(chunk)
        self._left -= size
        if self._left >= 0:
            self._kept[chunk] = features
        return features.detach()

    def taken(self, chunk: Chunk) -> Tensor:
        """The chunk's features with their graph, which is no longer kept."""
        return self._kept.pop(chunk) if chunk in self._kept else chunk()
