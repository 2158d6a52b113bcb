"""Two processes over loopback do what one does."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.model.training import two_processes

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path: Path) -> None:
    """Towers, heads and temperature: every gradient is the single process's to 1e-5."""
    port = free_port()
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.model.training.two_processes", str(tmp_path)],
            cwd=ROOT,
            env={
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
            },
        )
        for rank in (0, 1)
    ]
    assert [process.wait(300) for process in running] == [0, 0]
    alone = two_processes.gradients()
    for rank in (0, 1):
        together = load_file(tmp_path / f"{rank}.safetensors")
        assert together.keys() == alone.keys()
        for name, gradient in alone.items():
            torch.testing.assert_close(together[name], gradient, rtol=1e-5, atol=1e-9, msg=name)
