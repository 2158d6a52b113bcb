"""The whole making of a compact model, in small: real backbones, few photos, few steps."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import CompactSettings, TrainingProgress, decode, load_encoder, train_compact
from model.training import compact, concepts
from model.training.sampling import StepSizes
from model.training.trainer import FitSettings

SIZES = StepSizes(captioned=4, captions_each=2, uncaptioned=2, classes=8, groups=4, synthetic=4)
LEARNING = ["heads", "towers", "new features", "new texts", "settle", "blend", "hubs"]
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (30, 40, 220),
    "grey": (99, 99, 99),
}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A table of eight photos of noise around a colour, with two captions each."""
    random = np.random.default_rng(5)
    lines = ["image\tcaption"]
    (tmp_path / "images").mkdir()
    for number in range(8):
        name, colour = list(COLOURS.items())[number % 4]
        noise = random.integers(-30, 30, (64, 80, 3))
        pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        lines += [f"{number}.png\ta {name} wall", f"{number}.png\tpaint that is {name}, {number}"]
    table = tmp_path / "pairs.tsv"
    table.write_text("\n".join(lines), encoding="utf-8")
    return table


@pytest.fixture(autouse=True)
def one_prompt_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand classes in one prompt each, since embedding all their prompts takes a minute."""
    every = concepts.read_concepts()
    few = dataclasses.replace(
        every,
        class_prompts=[prompts[:1] for prompts in every.class_prompts],
        group_prompts=[prompts[:1] for prompts in every.group_prompts],
    )
    monkeypatch.setattr(compact, "read_concepts", lambda: few)


def settings(pairs: Path, run: Path) -> CompactSettings:
    """Two steps of everything."""
    return CompactSettings(
        pairs=(pairs,),
        photos=(pairs.parent / "images",),
        dev=pairs,
        out=run / "out.safetensors",
        run_folder=run,
        views=2,
        heads=FitSettings(2, 1, checkpoint_steps=1),
        towers=FitSettings(2, 1, checkpoint_steps=1),
        settle=FitSettings(2, 1, checkpoint_steps=1),
        head_sizes=SIZES,
        tower_sizes=SIZES,
    )


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def test_a_run_that_was_stopped_ends_with_the_same_file(pairs: Path, tmp_path: Path) -> None:
    """Stopped amid the towers and begun again, it writes the bytes that a whole run writes."""
    stages: list[str] = []

    def hear(progress: TrainingProgress) -> None:
        if progress.stage not in stages:
            stages.append(progress.stage)

    whole = train_compact(settings(pairs, tmp_path / "whole"), hear)
    assert stages == ["texts", "views", "dev", *LEARNING]

    def stop(progress: TrainingProgress) -> None:
        if (progress.stage, progress.done) == ("towers", 1):
            raise Stopped

    broken = settings(pairs, tmp_path / "broken")
    with pytest.raises(Stopped):
        train_compact(broken, stop)
    assert not broken.out.exists()
    resumed = train_compact(broken, lambda _: None)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert whole.score is not None
    assert whole.score.names is None, "photos of coloured noise show no class"

    encoder = load_encoder(str(whole.path))
    picture = decode(pairs.parent / "images" / "0.png")
    image, text = encoder.embed_images([picture])[0], encoder.embed_texts(["a red wall"])
    assert np.isfinite(image @ text.vectors[0])
    assert encoder.fingerprint == whole.fingerprint
