"""The best weights of a run so far, kept on disk, and when to stop looking for better ones."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model.durable_files import write_durably


class Best:
    """Keeps the weights with the highest value; a later equal one is no better.

    What is kept may be of a later step than the state a killed run goes on from: the steps between
    are then repeated and give the same values, so the run ends as it would have.

    Attributes: `step` and `value` of the best, -1 and minus infinity before the first.
    """

    def __init__(self, file: Path, patience_steps: int, recipe: str) -> None:
        self._file = file
        self._patience_steps = patience_steps
        self._recipe = recipe
        self.step = -1
        self.value = float("-inf")
        try:
            with safe_open(file, "pt") as opened:
                known = json.loads((opened.metadata() or {})["best"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return
        if known["recipe"] == recipe:
            self.step, self.value = known["step"], known["value"]

    def consider(self, step: int, value: float, weights: Mapping[str, Tensor]) -> None:
        """Keep these weights if they are better."""
        if value <= self.value:
            return
        self.step, self.value = step, value
        known = {"step": step, "value": value, "recipe": self._recipe}
        tensors = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
        write_durably(self._file, save(tensors, {"best": json.dumps(known)}))

    def is_over(self, step: int) -> bool:
        """Whether nothing better has come for so long that it will not."""
        return step - self.step >= self._patience_steps

    def weights(self) -> dict[str, Tensor]:
        """The best weights. They are there once `consider` was called."""
        with safe_open(self._file, "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
