"""The training loop on the tiny model."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.errors import NonFiniteLoss, TrainingError
from model.training.loss import contrastive_loss
from model.training.trainer import FitSettings, RateGroup, StepFunction, Trainer
from tests.model import tiny

SETTINGS = FitSettings(steps=10, warmup_steps=2, checkpoint_steps=4, seed=3)


def model() -> DualEncoder:
    """The tiny model with the same weights every time."""
    torch.manual_seed(1)
    return tiny.ARCHITECTURE.build().eval()


def trainer(
    encoder: DualEncoder,
    settings: FitSettings = SETTINGS,
    file: Path | None = None,
    rate: float = 1e-3,
    recipe: str = "",
) -> Trainer:
    """A trainer of everything in the model at one rate."""
    modules = (
        encoder.image_tower,
        encoder.image_projection,
        encoder.text_tower,
        encoder.text_projection,
    )
    return Trainer(encoder, [RateGroup(modules, rate)], settings, file, recipe)


def step_of(
    encoder: DualEncoder, spoil: Callable[[int, Tensor], Tensor] | None = None
) -> StepFunction:
    """A contrastive step on noise that the step's generator makes."""

    def step(number: int, random: torch.Generator) -> Tensor:
        pixels = torch.randn(4, 3, 32, 32, generator=random)
        ids = torch.randint(5, 18, (4, 5), generator=random)
        own = torch.arange(4)
        loss = contrastive_loss(
            encoder.encode_images(pixels),
            encoder.encode_texts(ids, ids > 0),
            own,
            own,
            encoder.logit_scale.exp(),
        )
        if spoil is not None:
            loss = spoil(number, loss)
        loss.backward()
        return loss.detach()

    return step


def nothing(done: int, loss: float) -> None:
    """Hears and does nothing."""


def test_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Killed after step 7 and resumed from step 4, it ends with the very same weights."""
    whole = model()
    whole_trainer = trainer(whole)
    losses: list[float] = []
    whole_trainer.run(step_of(whole), lambda done, loss: losses.append(loss))

    class Killed(Exception):
        pass

    def kill(done: int, loss: float) -> None:
        if done == 7:
            raise Killed

    first = model()
    with pytest.raises(Killed):
        trainer(first, file=tmp_path / "state").run(step_of(first), kill)
    second = model()
    resumed = trainer(second, file=tmp_path / "state")
    assert resumed.resume()
    assert resumed.step == 4
    later: list[float] = []
    resumed.run(step_of(second), lambda done, loss: later.append(loss))

    assert later == losses[4:]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name
    for name, tensor in whole_trainer.averages.items():
        assert torch.equal(resumed.averages[name], tensor), name


def test_without_a_saved_state_there_is_nothing_to_resume(tmp_path: Path) -> None:
    """A first start is no error."""
    assert not trainer(model(), file=tmp_path / "state").resume()
    assert not trainer(model()).resume()


def test_state_of_another_run_is_refused(tmp_path: Path) -> None:
    """Other settings would silently change what the numbers mean."""
    encoder = model()
    trainer(encoder, file=tmp_path / "state").run(step_of(encoder), nothing)
    with pytest.raises(TrainingError, match="other settings"):
        trainer(model(), file=tmp_path / "state", rate=5e-4).resume()
    with pytest.raises(TrainingError, match="other settings"):
        trainer(model(), file=tmp_path / "state", recipe="other weights of the loss").resume()
    (tmp_path / "state").write_bytes(b"no state at all")
    with pytest.raises(TrainingError, match="no state of a run"):
        trainer(model(), file=tmp_path / "state").resume()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_run_stops_at_a_loss_that_is_no_number(tmp_path: Path, bad: float) -> None:
    """The weights are those before that step, and the error names the last good state."""
    encoder, file = model(), tmp_path / "state"
    kept: dict[str, Tensor] = {}

    def remember(done: int, loss: float) -> None:
        if done == 6:
            kept.update({name: value.clone() for name, value in encoder.state_dict().items()})

    def spoil(number: int, loss: Tensor) -> Tensor:
        return loss * bad if number == 6 else loss

    with pytest.raises(NonFiniteLoss) as raised:
        trainer(encoder, file=file).run(step_of(encoder, spoil), remember)
    assert raised.value.step == 6
    assert raised.value.checkpoint == file
    for name, tensor in kept.items():
        assert torch.equal(encoder.state_dict()[name], tensor)
    resumed = trainer(model(), file=file)
    assert resumed.resume()
    assert resumed.step == 4


def test_temperature_is_held_however_high_the_rate() -> None:
    """exp(logit_scale) is at most 100 after each step, even at a rate a hundred times too high."""
    encoder = model()
    scales: list[float] = []

    def spoil(number: int, loss: Tensor) -> Tensor:
        return loss - 10 * encoder.logit_scale

    trainer(encoder, rate=0.5).run(
        step_of(encoder, spoil), lambda done, loss: scales.append(encoder.logit_scale.exp().item())
    )
    assert max(scales) == pytest.approx(100, rel=1e-5)
    assert all(tensor.isfinite().all() for tensor in encoder.state_dict().values())


def test_weight_decay_touches_matrices_and_filters_alone() -> None:
    """Norms, biases and the temperature are never pulled to zero."""
    encoder = model()
    decayed = set(trainer(encoder).decayed)
    assert "logit_scale" not in decayed
    assert not any("norm" in name or name.endswith("bias") for name in decayed)
    assert "text_tower.layers.0.attention.query.weight" in decayed
    assert "image_tower.stem.conv.weight" in decayed

    def no_gradient(number: int, random: torch.Generator) -> Tensor:
        loss = sum((parameter.sum() * 0 for parameter in encoder.parameters()), torch.zeros(()))
        loss.backward()
        return loss.detach()

    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    trainer(encoder).run(no_gradient, nothing)
    changed = {
        name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])
    }
    # A matrix of zeros has nothing to decay.
    assert changed == {name for name in decayed if before[name].any()}


def test_gradient_is_clipped_once_a_step() -> None:
    """The norm that the optimizer sees is the limit, however the step added its gradients up."""
    encoder = model()
    seen: list[float] = []
    settings = FitSettings(steps=1, warmup_steps=0, clip_norm=0.01)

    def in_parts(number: int, random: torch.Generator) -> Tensor:
        for _ in range(8):
            loss = step_of(encoder)(number, random)
        return loss

    def measure(done: int, loss: float) -> None:
        gradients = [p.grad.flatten() for p in encoder.parameters() if p.grad is not None]
        seen.append(torch.cat(gradients).norm().item())

    trainer(encoder, settings).run(in_parts, measure)
    assert seen == [pytest.approx(0.01, rel=1e-3)]


def test_averaged_weights_are_lent_and_given_back() -> None:
    """Inside the block the model has the average, after it its own weights again."""
    encoder = model()
    training = trainer(encoder)
    training.run(step_of(encoder), nothing)
    own = encoder.text_projection.linear.weight.detach().clone()
    with training.averaged() as lent:
        inside = lent.text_projection.linear.weight.detach().clone()
    average = training.averages["text_projection.linear.weight"]
    assert torch.equal(inside, average)
    assert not torch.equal(own, average)
    assert torch.equal(encoder.text_projection.linear.weight, own)


def test_frozen_parameters_do_not_move() -> None:
    """What needs no gradient is no part of the run."""
    encoder = model()
    encoder.text_tower.embeddings.requires_grad_(requires_grad=False)
    before = encoder.text_tower.embeddings.words.weight.clone()
    trainer(encoder).run(step_of(encoder), nothing)
    assert torch.equal(encoder.text_tower.embeddings.words.weight, before)


def test_start_from_half_precision_weights_trains_in_float32(tmp_path: Path) -> None:
    """A stored checkpoint is fp16; its master weights are float32 and finite after a step."""
    from model.checkpoints import build_model, read_checkpoint

    tiny.write(tmp_path / "tiny.safetensors")
    encoder = build_model(read_checkpoint(tmp_path / "tiny.safetensors")[0])
    trainer(encoder, FitSettings(steps=1, warmup_steps=0)).run(step_of(encoder), nothing)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert all(parameter.isfinite().all() for parameter in encoder.parameters())
