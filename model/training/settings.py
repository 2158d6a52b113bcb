"""What a run of the compact model takes, tells and gives."""

from dataclasses import dataclass, field
from pathlib import Path

from model.training.dev_split import Score
from model.training.objective import Weights
from model.training.sampling import Dropout, StepSizes
from model.training.trainer import FitSettings

_WEIGHTS = Weights()
_HEAD_SIZES = StepSizes(
    captioned=1024, captions_each=2, uncaptioned=256, classes=1000, groups=160, synthetic=384
)
_DROPOUT = Dropout(image=0.2, text=0.1, attention=0.15)
_TOWER_SIZES = StepSizes(
    captioned=256, captions_each=1, uncaptioned=32, classes=96, groups=32, synthetic=96
)


@dataclass(frozen=True, slots=True)
class CompactSettings:
    """What to train on and how long; the defaults made the model that is shipped.

    `pairs` are tables of captioned photos; `photos` are tables or folders of photos without
    captions, from which only the classifier's answers are learnt. `dev` is a table of captioned
    photos that is never trained on. `run_folder` keeps views and checkpoints; a run that was
    interrupted goes on from there, and it may be removed afterwards (about 100 kB a view).
    """

    pairs: tuple[Path, ...]
    out: Path
    run_folder: Path
    photos: tuple[Path, ...] = ()
    dev: Path | None = None
    views: int = 4
    frozen_layers: int = 3
    seed: int = 0
    heads: FitSettings = field(default_factory=lambda: FitSettings(160, 20, average_decay=0.95))
    towers: FitSettings = field(
        default_factory=lambda: FitSettings(280, 20, average_decay=0.985, checkpoint_steps=40)
    )
    head_sizes: StepSizes = _HEAD_SIZES
    tower_sizes: StepSizes = _TOWER_SIZES
    weights: Weights = _WEIGHTS
    settle: FitSettings = field(default_factory=lambda: FitSettings(100, 10, average_decay=0.95))
    head_rate: float = 2e-3
    settle_rate: float = 5e-4
    dropout: Dropout = _DROPOUT
    tower_head_rate: float = 3e-4
    image_rate: float = 2e-4
    text_rate: float = 5e-5
    hub_strength: float = 0.6
    evaluate_steps: int = 50


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Where a run is: `done` of `total` in `stage`; `message` has the loss or a measured score."""

    stage: str
    done: int
    total: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Trained:
    """The file written, its fingerprint, and its score on the dev split, if there is one."""

    path: Path
    fingerprint: str
    score: Score | None
