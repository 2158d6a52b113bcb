"""Training by several processes at once, started by `torchrun` or what sets the same variables.

Every process holds the same weights and draws the same batch; it computes its share of the batch's
chunks, and features and gradients are exchanged. So any number of processes does what one does.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Processes:
    """`count` processes of which this is the one with the number `rank`, from 0."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    def owns(self, index: int) -> bool:
        """Whether the piece of work with this index is this process's."""
        return index % self.count == self.rank

    def gather(self, own: Sequence[Tensor | None]) -> list[Tensor]:
        """Every piece, from the process that owns it; elsewhere it is None. No gradients pass."""
        if self.count == 1:
            return [piece for piece in own if piece is not None]
        known: list[list[tuple[tuple[int, ...], torch.dtype] | None]] = [[]] * self.count
        mine = [None if piece is None else (tuple(piece.shape), piece.dtype) for piece in own]
        dist.all_gather_object(known, mine)
        gathered = []
        for index, piece in enumerate(own):
            owner = index % self.count
            described = known[owner][index]
            assert described is not None, "each process computes what it owns"
            shape, dtype = described
            whole = torch.empty(shape, dtype=dtype) if piece is None else piece.contiguous()
            dist.broadcast(whole, src=owner)
            gathered.append(whole)
        return gathered

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)

    def agree(self, value: float) -> float:
        """The first process's value, in all of them."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return float(shared.item())

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()


ALONE = Processes()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """The group that the environment names, joined over gloo until the block ends; else one."""
    if not all(os.environ.get(variable) for variable in _VARIABLES):
        yield ALONE
        return
    dist.init_process_group("gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
