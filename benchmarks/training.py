"""Photos a second in training: our loops against a plain one over the same modules.

    python benchmarks/training.py --photos FOLDER [--model compact] [--batch 64] [--steps 4]

The plain loop is what one would write: decode the batch, both towers and projections in float32
with gradients everywhere, the contrastive loss, AdamW. `all` is our loop over the same parameters
and batch (cached gradients in the machine's precision), `last_blocks` the same with the lower parts
frozen, `heads` the default: every photo through the frozen serving tower once, then the heads alone
on what it gave. Its photos a second are those of a whole run of the default number of epochs, the
first pass over the towers included. Steps are interleaved; median of all but the first of each.
Also prints the peak memory above the model of one step with `--large` photos by cached gradients.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from report import bar_plot, publish
from torch import Tensor

from model import CaptionedPhoto, ImageLimits
from model.checkpoints import build_model, build_tokenizer, read_checkpoint
from model.dual_encoder import DualEncoder
from model.encoder import checkpoint_path, native_precision, serving_copy
from model.preprocessing import to_tensor
from model.tokenizers import pad
from model.training.depth import train_heads, train_towers
from model.training.features import PhotoReader
from model.training.fine_tuning import EPOCHS
from model.training.fine_tuning_settings import FineTuneSettings
from model.training.heads import put_heads
from model.training.loss import paired_loss
from model.training.pairs import read_photos
from model.training.processes import ALONE
from model.training.trainer import RateGroup
from model.training.tuning_corpus import read_corpus
from model.training.tuning_steps import TuningSteps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder or a table of photos")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--large", type=int, default=0)
    options = parser.parse_args()
    photos = [
        CaptionedPhoto(path, (f"{path.stem}, photo number {number}",))
        for number, path in enumerate(read_photos(options.photos))
    ]
    if options.large:
        large_batch(photos, options)
        return
    photos = photos[: options.batch * 4]
    loops = {
        "plain": plain(photos, options),
        "all": ours(photos, options, "all"),
        "last_blocks": ours(photos, options, "last_blocks"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for step in range(options.steps + 1):
        for name, loop in loops.items():
            began = time.perf_counter()
            loop(step)
            seconds[name].append(time.perf_counter() - began)
    rates = {name: options.batch / statistics.median(found[1:]) for name, found in seconds.items()}
    rates["heads"] = heads_rate(photos, options)
    rows = [
        {"loop": name, "photos a second": rate, "times plain": rate / rates["plain"]}
        for name, rate in rates.items()
    ]
    publish("training", rows, model=options.model, batch=options.batch)
    bar_plot("training", rows, "loop", "photos a second")


def plain(photos: Sequence[CaptionedPhoto], options: argparse.Namespace) -> Callable[[int], None]:
    """A loop as one would write it, in float32."""
    with checkpoint_path(options.model) as path:
        checkpoint, _ = read_checkpoint(path)
    model, tokenizer = build_model(checkpoint), build_tokenizer(checkpoint)
    reader = PhotoReader(checkpoint.preprocessing, ImageLimits())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    own = torch.eye(options.batch, dtype=torch.bool)

    def step(number: int) -> None:
        start = number * options.batch % len(photos)
        batch = photos[start : start + options.batch]
        pixels = to_tensor([reader.square(photo.path) for photo in batch], reader.preprocessing)
        texts = model.encode_texts(*pad(tokenizer([photo.captions[0] for photo in batch])))
        optimizer.zero_grad()
        loss = paired_loss(
            model.encode_images(pixels.contiguous()), texts, own, model.logit_scale.exp()
        )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def ours(
    photos: Sequence[CaptionedPhoto], options: argparse.Namespace, trained: str
) -> Callable[[int], None]:
    """Our step over the towers, with the optimizer's."""
    model, steps = prepared(photos, options)
    groups = train_towers(model, trained, head_rate=1e-6, tower_rate=1e-6)  # type: ignore[arg-type]
    return with_optimizer(steps.tower_step, groups)


def heads_rate(photos: Sequence[CaptionedPhoto], options: argparse.Namespace) -> float:
    """Photos a second of a default run: features once, then the heads."""
    began = time.perf_counter()
    model, steps = prepared(photos, options)
    once = time.perf_counter() - began
    step = with_optimizer(steps.head_step, train_heads(model, 1e-6))
    step(0)
    began = time.perf_counter()
    for number in range(1, 21):
        step(number)
    each = (time.perf_counter() - began) / 20 / options.batch
    return EPOCHS * len(photos) / (once + EPOCHS * len(photos) * each)


def prepared(
    photos: Sequence[CaptionedPhoto], options: argparse.Namespace
) -> tuple[DualEncoder, TuningSteps]:
    """The model with its heads, and its steps, after the first pass over the towers."""
    with checkpoint_path(options.model) as path:
        checkpoint, fingerprint = read_checkpoint(path)
    model = build_model(checkpoint)
    reader = PhotoReader(checkpoint.preprocessing, ImageLimits())
    towers = serving_copy(model, native_precision())
    put_heads(model)
    with tempfile.TemporaryDirectory() as folder:
        settings = FineTuneSettings(
            start=options.model,
            train=photos,
            out=Path(folder) / "out",
            run_folder=Path(folder),
            batch_size=options.large or options.batch,
        )
        corpus = read_corpus(
            settings,
            model,
            towers,
            build_tokenizer(checkpoint),
            reader,
            identity=fingerprint,
            processes=ALONE,
            progress=lambda *_: None,
        )
    return model, TuningSteps(model, corpus, settings, reader, native_precision(), ALONE)


def with_optimizer(
    add_gradients: Callable[[int, torch.Generator], Tensor], groups: Sequence[RateGroup]
) -> Callable[[int], None]:
    """The step followed by AdamW's."""
    parameters = [one for group in groups for one in group.members()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-6)

    def step(number: int) -> None:
        optimizer.zero_grad()
        add_gradients(number, torch.Generator().manual_seed(number))
        optimizer.step()

    return step


def large_batch(photos: Sequence[CaptionedPhoto], options: argparse.Namespace) -> None:
    """Peak memory of one step through all of the towers with a large batch."""
    repeated = (photos * (options.large // len(photos) + 1))[: options.large]
    distinct = [
        CaptionedPhoto(photo.path, (f"{photo.captions[0]} {number}",))
        for number, photo in enumerate(repeated)
    ]
    model, steps = prepared(distinct, options)
    train_towers(model, "all", head_rate=1e-6, tower_rate=1e-6)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    steps.tower_step(0, torch.Generator().manual_seed(0))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"batch {options.large}: peak {after / 1e6:.2f} GB, {(after - before) / 1e6:.2f} GB above "
        f"what the model and its features took; {time.perf_counter() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
