"""Fine-tuning on an owner's pairs.

1. `photos`, `texts`: everything goes through the frozen towers once.
2. `heads`: what comes after the towers learns alone, on those features.
3. `towers`, if asked for: the last blocks or all of the towers learn too, by cached gradients.
4. `blend`: weights between the start and the end of training are tried, and those kept that serve
   the held-out pairs best while everyday queries go on finding what they found.
"""

import copy
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from model.checkpoints import build_model, build_tokenizer, read_checkpoint, write_checkpoint
from model.dual_encoder import DualEncoder
from model.encoder import checkpoint_path
from model.serving import native_precision, serving_copy
from model.training.adapters import merge_adapters, put_adapters
from model.training.best import Best
from model.training.blending import SHARES, choose_blend, lerped
from model.training.curves import Curves
from model.training.depth import train_heads, train_towers
from model.training.features import PhotoReader
from model.training.fine_tuning_settings import (
    Blend,
    FineTuned,
    FineTuneProgress,
    FineTuneSettings,
)
from model.training.heads import fold_heads, put_heads
from model.training.judging import Judge
from model.training.measures import Verdict
from model.training.processes import Processes, joined_processes
from model.training.report import write_report
from model.training.trainer import FitSettings, RateGroup, StepFunction, Trainer
from model.training.tuning_corpus import read_corpus
from model.training.tuning_steps import TuningSteps

# However few pairs there are, the heads take this many steps; however many, no more than that.
LEAST_STEPS = 100
MOST_STEPS = 2_000
EPOCHS = 30
_WARMUP_STEPS = 20
_WEIGHT_DECAY = 0.1
_AVERAGE_DECAY = 0.95
_EVALUATE_STEPS = 20
_PATIENCE_STEPS = 200
# Heads that have learnt go on slower beside the towers.
_HEAD_RATE_LATER = 0.1


def fine_tune(
    settings: FineTuneSettings, progress: Callable[[FineTuneProgress], None]
) -> FineTuned:
    """Fine-tune, write the checkpoint to `settings.out` and a report beside it.

    The same settings on the same machine give the same weights. What `progress` raises ends the
    run; the same call goes on from there. Under `torchrun` the processes share the work.

    Raises TrainingError when there is too little to learn from or a state can't be used,
    NonFiniteLoss when training runs away (the last checkpoint stays), TextError for a text that
    can't be embedded, CheckpointError for the start.
    """
    with joined_processes() as processes:
        run = _Run(settings, progress if processes.is_first else _unheard, processes)
        run.fit()
        return run.finish()


def steps_of(photos: int, batch_size: int) -> int:
    """How many steps the heads take for so many photos, unless settings say."""
    return min(max(EPOCHS * photos // batch_size, LEAST_STEPS), MOST_STEPS)


class _Run:
    """The model in the making and all it learns from."""

    def __init__(
        self,
        settings: FineTuneSettings,
        progress: Callable[[FineTuneProgress], None],
        processes: Processes,
    ) -> None:
        self.began = time.monotonic()
        self.settings = settings
        self.progress = progress
        self.processes = processes
        with checkpoint_path(settings.start) as path:
            self.checkpoint, self.fingerprint = read_checkpoint(path)
        # Evaluation mode throughout: batch-norm statistics stay, and nothing in a chunk is random.
        self.model = build_model(self.checkpoint)
        precision = native_precision()
        towers = serving_copy(self.model, precision)
        put_heads(self.model)
        reader = PhotoReader(self.checkpoint.preprocessing, settings.limits)
        self.corpus = read_corpus(
            settings,
            self.model,
            towers,
            build_tokenizer(self.checkpoint),
            reader,
            identity=self.fingerprint,
            processes=processes,
            progress=self._tell,
        )
        self.start = copy.deepcopy(self.model.state_dict())
        self.steps = TuningSteps(self.model, self.corpus, settings, reader, precision, processes)
        self.judge = Judge(self.corpus, reader)
        self.before = self.judge.judge(self.model)
        self.found_before = self.judge.held_out(self.model)
        self.curves = Curves(settings.run_folder / "curves.json")
        self.steps_done = 0
        self.stopped: Literal["finished", "early"] = "finished"

    def fit(self) -> None:
        """Train what the settings say; the model then has the best weights that were met."""
        settings = self.settings
        steps = settings.steps or steps_of(len(self.corpus.train.photos), settings.batch_size)
        self._fit("heads", steps, train_heads(self.model, settings.learning_rate))
        later = _HEAD_RATE_LATER * settings.learning_rate
        if settings.trained == "lora":
            torch.manual_seed(settings.seed)
            groups = train_heads(self.model, later)
            groups += put_adapters(self.model, settings.lora_rate)
            self._fit("towers", settings.tower_steps, groups)
            merge_adapters(self.model)
        elif settings.trained != "heads":
            groups = train_towers(
                self.model,
                settings.trained,
                head_rate=later,
                tower_rate=settings.tower_rate,
            )
            self._fit("towers", settings.tower_steps, groups)

    def finish(self) -> FineTuned:
        """Choose the blend, write the checkpoint and the report."""
        settings, model = self.settings, self.model
        have_towers_learnt = settings.trained != "heads"
        end = copy.deepcopy(model.state_dict())
        blends = []
        for done, share in enumerate(SHARES, start=1):
            model.load_state_dict(lerped(self.start, end, share))
            verdict = self._judged(are_towers_new=have_towers_learnt)
            blends.append(Blend(share, verdict))
            self._tell("blend", done, len(SHARES), f"{share:.1f}: {verdict}")
        chosen = choose_blend(blends, self.before, settings.allowed)
        model.load_state_dict(lerped(self.start, end, chosen.share))
        found = (
            self.found_before,
            self.judge.held_out(model, self._towers() if have_towers_learnt else None),
        )
        fold_heads(model)
        fingerprint = ""
        if self.processes.is_first:
            stored = self.checkpoint.tensors
            state = {name: t.to(stored[name].dtype) for name, t in model.state_dict().items()}
            tuned = dataclasses.replace(self.checkpoint, tensors=state)
            fingerprint = write_checkpoint(tuned, settings.out)
        done_run = FineTuned(
            path=settings.out,
            fingerprint=fingerprint,
            before=self.before,
            after=chosen.verdict,
            blends=tuple(blends),
            share=chosen.share,
            steps=self.steps_done,
            seconds=time.monotonic() - self.began,
            stopped=self.stopped,
            data_sha256=self.corpus.data_sha256,
            unreadable=self.corpus.unreadable,
            report=settings.out.with_suffix(".report"),
        )
        if self.processes.is_first:
            write_report(done_run, settings, self.corpus, found, self.curves.points)
        self.processes.wait()
        return done_run

    def _fit(self, stage: Literal["heads", "towers"], steps: int, groups: list[RateGroup]) -> None:
        """Train, then put the best weights that were met into the model."""
        settings, folder = self.settings, self.settings.run_folder
        fit = FitSettings(
            steps=steps,
            warmup_steps=min(_WARMUP_STEPS, steps // 4),
            weight_decay=_WEIGHT_DECAY,
            average_decay=_AVERAGE_DECAY,
            checkpoint_steps=_EVALUATE_STEPS,
            seed=settings.seed,
        )
        file = folder / f"{stage}.safetensors"
        trainer = Trainer(self.model, groups, fit, file, self._recipe(), self.processes)
        best = Best(folder / f"{stage}.best.safetensors", _PATIENCE_STEPS, self._recipe())
        trainer.resume()
        self.curves.go_back(stage, trainer.step)

        def after_step(done: int, loss: float) -> bool:
            figures = {
                "step": float(done),
                "loss": loss,
                "learning_rate": trainer.rate,
                "exp(logit_scale)": self.model.logit_scale.exp().item(),
            }
            message, is_over = f"loss {loss:.3f}", False
            if is_measured := done % _EVALUATE_STEPS == 0 or done == steps:
                with trainer.averaged():
                    verdict = self._judged(are_towers_new=stage == "towers")
                if self.processes.is_first:
                    best.consider(done, verdict.worth(done), trainer.averages)
                is_over = bool(self.processes.agree(best.is_over(done)))
                figures |= verdict.figures()
                message = f"{message}, {verdict}"
            self.curves.add(stage, figures)
            if is_measured and self.processes.is_first:
                self.curves.save()
            self.progress(
                FineTuneProgress(stage, done, steps, message, figures, is_measured=is_measured)
            )
            return is_over

        if not best.is_over(trainer.step):
            trainer.run(self._step_of(stage), after_step)
        self.stopped = "early" if trainer.step < steps else self.stopped
        self.steps_done += trainer.step
        self.processes.wait()
        self.model.load_state_dict(best.weights(), strict=False)

    def _step_of(self, stage: Literal["heads", "towers"]) -> StepFunction:
        return self.steps.head_step if stage == "heads" else self.steps.tower_step

    def _judged(self, *, are_towers_new: bool) -> Verdict:
        return self.judge.judge(self.model, self._towers() if are_towers_new else None)

    def _towers(self) -> DualEncoder:
        return serving_copy(self.model, native_precision())

    def _recipe(self) -> str:
        # What may change between the starts of one run: where its files are.
        same = dataclasses.replace(
            self.settings,
            start="",
            train=(),
            validation=(),
            general=(),
            out=Path(),
            run_folder=Path(),
        )
        return f"{self.fingerprint} {self.corpus.data_sha256} {same!r}"

    def _tell(self, stage: str, done: int, total: int, message: str = "") -> None:
        self.progress(FineTuneProgress(stage, done, total, message))


def _unheard(_progress: FineTuneProgress) -> None:
    """The ear of the processes that do not speak."""
