"""How much memory a graph is said to hold."""

import torch
from torch import nn

from model.training.graphs import graph_bytes


def test_graph_is_as_large_as_what_its_backward_pass_needs() -> None:
    """Input and activation count once each, the weights and what has no graph not at all."""
    layers = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 1))
    rows = torch.zeros(50, 10)
    computed, size = graph_bytes(lambda: layers(rows))
    assert size == 4 * (50 * 10 + 50 * 20)
    computed.sum().backward()
    assert layers[0].weight.grad is not None
    with torch.no_grad():
        assert graph_bytes(lambda: layers(rows))[1] == 0
