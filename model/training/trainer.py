"""The training loop: steps, learning rates, averaged weights, checkpoints, resuming.

Everything random in a step is drawn from a generator seeded with the step's number, and the
learning rate is a function of that number, so a resumed run repeats the uninterrupted one.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from model.dual_encoder import MAXIMUM_LOGIT_SCALE, DualEncoder
from model.durable_files import write_durably
from model.errors import NonFiniteLoss, TrainingError
from model.training.processes import ALONE, Processes
from model.training.schedule import rate_factor

# Adds the gradients of one step, whose randomness comes from the generator alone; gives the loss.
StepFunction = Callable[[int, torch.Generator], Tensor]

_BETAS = (0.9, 0.98)


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How long and how carefully to train. Steps are optimizer steps.

    `average_decay` is that of the exponential moving average of the weights; the average follows
    faster in the first steps. Every `checkpoint_steps` the state is saved, if there is a folder.
    """

    steps: int
    warmup_steps: int
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    average_decay: float = 0.99
    checkpoint_steps: int = 50
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RateGroup:
    """Modules that share a peak learning rate; parameters that need no gradient are left alone.

    `parameters` are those that stand alone in a module whose parts have other rates.
    """

    modules: tuple[nn.Module, ...]
    peak_rate: float
    parameters: tuple[nn.Parameter, ...] = ()

    def members(self) -> list[nn.Parameter]:
        """All parameters of the group."""
        return [*(one for module in self.modules for one in module.parameters()), *self.parameters]


class Trainer:
    """Trains some modules of a dual encoder, and always its logit_scale, at the first group's rate.

    Attributes: `step`, how many steps are done; `averages`, name to averaged weight of what is
    trained.
    """

    def __init__(
        self,
        model: DualEncoder,
        groups: Sequence[RateGroup],
        settings: FitSettings,
        state_file: Path | None = None,
        recipe: str = "",
        processes: Processes = ALONE,
    ) -> None:
        """`recipe` stands for all else a saved state depends on, such as the loss's weights.

        Of several processes each has a trainer of the same model, whose steps add its share of the
        gradients; the first writes the state.
        """
        self.model = model
        self._recipe = recipe
        self._processes = processes
        self.settings = settings
        self.step = 0
        self._state_file = state_file
        self._is_saved = False
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        rates = {
            names[id(parameter)]: group.peak_rate
            for group in groups
            for parameter in group.members()
            if parameter.requires_grad
        }
        rates["logit_scale"] = groups[0].peak_rate
        parameters = dict(model.named_parameters())
        self._trained = {name: parameters[name] for name in rates}
        self._optimizer = torch.optim.AdamW(
            [
                {
                    "params": [parameter],
                    "peak_rate": rates[name],
                    "weight_decay": settings.weight_decay if parameter.ndim > 1 else 0.0,
                }
                for name, parameter in self._trained.items()
            ],
            betas=_BETAS,
            # One pass over the memory of weights, gradients and moments instead of eight.
            fused=True,
        )
        self.averages = {name: value.detach().clone() for name, value in self._trained.items()}

    @property
    def rate(self) -> float:
        """The learning rate of the last step of the first group."""
        rate: float = self._optimizer.param_groups[0]["lr"]
        return rate

    @property
    def decayed(self) -> tuple[str, ...]:
        """Names of the parameters with weight decay: matrices and filters, never norms or biases.

        One rule: decay applies to tensors of two or more dimensions.
        """
        return tuple(name for name, parameter in self._trained.items() if parameter.ndim > 1)

    def run(
        self, step_function: StepFunction, after_step: Callable[[int, float], bool | None]
    ) -> None:
        """Do the steps that are left; `after_step` hears the number done and the loss.

        It ends early when `after_step` gives True. Raises NonFiniteLoss before such a step changes
        a weight; the last saved state is kept.
        """
        settings = self.settings
        while self.step < settings.steps:
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + self.step)
            self._optimizer.zero_grad()
            loss = step_function(self.step, generator).item()
            self._processes.sum_gradients(self._trained.values())
            norm = nn.utils.clip_grad_norm_(self._trained.values(), settings.clip_norm)
            if not (math.isfinite(loss) and math.isfinite(norm.item())):
                raise NonFiniteLoss(self.step, self._state_file if self._is_saved else None)
            factor = rate_factor(self.step, settings.steps, settings.warmup_steps)
            for group in self._optimizer.param_groups:
                group["lr"] = group["peak_rate"] * factor
            self._optimizer.step()
            with torch.no_grad():
                self.model.logit_scale.clamp_(max=MAXIMUM_LOGIT_SCALE)
            self.step += 1
            self._average()
            # Before the state is saved: what a measurement keeps is there when the state is.
            is_over = after_step(self.step, loss)
            is_due = self.step % settings.checkpoint_steps == 0 or self.step == settings.steps
            if is_due or is_over:
                self.save()
            if is_over:
                return

    @contextmanager
    def averaged(self) -> Iterator[DualEncoder]:
        """The model with the averaged weights in place, until the block ends."""
        own = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
        self._put(self.averages)
        try:
            yield self.model
        finally:
            self._put(own)

    def save(self) -> None:
        """Write the whole state of the run, old or new whatever happens meanwhile."""
        if self._state_file is None or not self._processes.is_first:
            return
        tensors = {}
        for name, parameter in self._trained.items():
            moments = self._optimizer.state[parameter]
            tensors[f"weight/{name}"] = parameter.detach()
            tensors[f"average/{name}"] = self.averages[name]
            tensors[f"first/{name}"] = moments["exp_avg"]
            tensors[f"second/{name}"] = moments["exp_avg_sq"]
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_durably(self._state_file, save(tensors, {"state": json.dumps(self._identity())}))
        self._is_saved = True

    def resume(self) -> bool:
        """Go on from the saved state if there is one; whether there was.

        Raises TrainingError when the state belongs to other settings or cannot be read.
        """
        if self._state_file is None or not self._state_file.exists():
            return False
        try:
            with safe_open(self._state_file, "pt") as file:
                saved = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{self._state_file} is no state of a run: {error}.") from error
        step = saved.pop("step")
        if saved != {key: value for key, value in self._identity().items() if key != "step"}:
            raise TrainingError(f"{self._state_file} belongs to a run with other settings.")
        self._put({name: tensors[f"weight/{name}"] for name in self._trained})
        self.averages = {name: tensors[f"average/{name}"] for name in self._trained}
        for name, parameter in self._trained.items():
            self._optimizer.state[parameter] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"first/{name}"].clone(memory_format=torch.preserve_format),
                "exp_avg_sq": tensors[f"second/{name}"].clone(memory_format=torch.preserve_format),
            }
        self.step = step
        self._is_saved = True
        return True

    def _average(self) -> None:
        decay = min(self.settings.average_decay, (1 + self.step) / (10 + self.step))
        for name, parameter in self._trained.items():
            self.averages[name].lerp_(parameter.detach(), 1 - decay)

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(weights[name])

    def _identity(self) -> dict[str, object]:
        settings = self.settings
        return {
            "step": self.step,
            "steps": settings.steps,
            "warmup_steps": settings.warmup_steps,
            "weight_decay": settings.weight_decay,
            "clip_norm": settings.clip_norm,
            "average_decay": settings.average_decay,
            "seed": settings.seed,
            "recipe": self._recipe,
            "rates": [group["peak_rate"] for group in self._optimizer.param_groups],
            "names": list(self._trained),
        }
