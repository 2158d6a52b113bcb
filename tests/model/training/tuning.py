"""Small sets of photos and texts that a tiny model can be fine-tuned on."""

from pathlib import Path

import numpy as np
from PIL import Image

from model.training.fine_tuning_settings import FineTuneSettings
from model.training.pairs import CaptionedPhoto
from tests.model import tiny

COLOURS = {
    "red car": (220, 30, 30),
    "dog": (40, 200, 60),
    "cat": (40, 60, 220),
    "beach": (230, 220, 60),
}


def photos(folder: Path, count: int, seed: int = 0) -> list[CaptionedPhoto]:
    """Noisy photos of one colour each; the text names it."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        name, colour = list(COLOURS.items())[number % len(COLOURS)]
        pixels = np.array(colour) + random.normal(scale=25, size=(32, 32, 3))
        path = folder / f"{seed}-{number}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        made.append(CaptionedPhoto(path, (name,)))
    return made


def settings(folder: Path, **changes: object) -> FineTuneSettings:
    """A short run from the tiny model; `changes` are fields of the settings."""
    start = folder / "start.safetensors"
    if not start.exists():
        tiny.write(start)
    values: dict[str, object] = {
        "start": str(start),
        "train": photos(folder / "photos", 24),
        "validation": photos(folder / "photos", 12, seed=1),
        "out": folder / "tuned.safetensors",
        "run_folder": folder / "run",
        "steps": 60,
        "batch_size": 12,
    }
    return FineTuneSettings(**(values | changes))  # type: ignore[arg-type]
