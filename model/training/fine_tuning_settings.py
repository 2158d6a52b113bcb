"""What a fine-tune takes, tells and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model.images import ImageLimits
from model.training.features import UnreadablePhoto
from model.training.gate import AllowedFalls
from model.training.holding import HoldWeights
from model.training.measures import Verdict
from model.training.pairs import CaptionedPhoto

# What learns: the heads alone; then the last blocks of the towers too; then all of the towers,
# earlier blocks at lower rates; or small matrices beside the towers' own (LoRA).
TrainedParts = Literal["heads", "last_blocks", "all", "lora"]


@dataclass(frozen=True, slots=True)
class FineTuneSettings:
    """What to start from, what to learn and how; the defaults are those that were measured.

    `start` is a checkpoint's path or a shipped model's name. `train` and `validation` are photos
    with their texts, no photo in both. `general` are pairs of other kinds, if any are at hand:
    half of them is learnt beside the rest, recall on the other half is measured. `run_folder` keeps
    features and checkpoints; a run that was interrupted goes on from there, and it may be removed
    afterwards. `steps` None chooses by the number of pairs.
    """

    start: str
    train: Sequence[CaptionedPhoto]
    out: Path
    run_folder: Path
    validation: Sequence[CaptionedPhoto] = ()
    general: Sequence[CaptionedPhoto] = ()
    trained: TrainedParts = "heads"
    steps: int | None = None
    batch_size: int = 256
    learning_rate: float = 1e-3
    tower_rate: float = 2e-5
    lora_rate: float = 2e-4
    tower_steps: int = 100
    seed: int = 0
    hold: HoldWeights = field(default_factory=HoldWeights)
    allowed: AllowedFalls = field(default_factory=AllowedFalls)
    limits: ImageLimits = field(default_factory=ImageLimits)


@dataclass(frozen=True, slots=True)
class FineTuneProgress:
    """Where a run is: `done` of `total` in `stage`.

    `figures` are a step's, by name; after some steps (`is_measured`) those of held-out pairs too.
    """

    stage: str
    done: int
    total: int
    message: str = ""
    figures: Mapping[str, float] | None = None
    is_measured: bool = False


@dataclass(frozen=True, slots=True)
class Blend:
    """Weights `share` of the way from the start to the end of training, and how they did."""

    share: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class FineTuned:
    """The file written and how the run went.

    `share` is that of the blend chosen, `before` and `after` what the start and it were judged.
    `data_sha256` stands for photos and texts. `steps` counts optimizer steps of all stages.
    """

    path: Path
    fingerprint: str
    before: Verdict
    after: Verdict
    blends: tuple[Blend, ...]
    share: float
    steps: int
    seconds: float
    stopped: Literal["finished", "early"]
    data_sha256: str
    unreadable: tuple[UnreadablePhoto, ...]
    report: Path
