"""How much memory the graph of a computation holds until its backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor


def graph_bytes(compute: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """What `compute` gives, with its graph, and the bytes held for the backward pass.

    Memory that several operations hold is counted once, that of parameters not at all.
    """
    held: dict[int, int] = {}

    def hold(saved: Tensor) -> Tensor:
        whole = saved if saved._base is None else saved._base  # noqa: SLF001  (what a view is of)
        if not (whole.is_leaf and whole.requires_grad):
            storage = saved.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda saved: saved):
        computed = compute()
    return computed, sum(held.values())
