"""Photos a second in training: our loops against a plain one of the same architecture.

    python benchmarks/training.py --photos FOLDER [--model compact] [--batch 64] [--steps 4]

The plain loop is what one would write: decode the batch, both towers and projections in float32
with gradients everywhere, the contrastive loss, AdamW. For the compact model it runs our modules;
for `--model ViT-B-32` (random weights time the same as trained ones) it runs the library
transformers' CLIPModel with its own loss. `all` is our trainer over the same parameters and batch,
with its everyday queries, gradient clipping and averaged weights, in the machine's precision;
`last_blocks` the same with the lower parts frozen, `heads` the default: every photo through the
frozen serving tower once, then the heads alone on what it gave. Its photos a second are those of a
whole run of the default number of epochs, the first pass over the towers included. Steps are
interleaved; median of all but the first of each. Also prints the peak memory above the model of one
step with `--large` photos by cached gradients.
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

from model import CaptionedPhoto, ImageLimits
from model.byte_pairs import clip_tokenizer
from model.checkpoints import (
    Checkpoint,
    build_model,
    build_tokenizer,
    read_checkpoint,
    write_checkpoint,
)
from model.dual_encoder import DualEncoder
from model.encoder import checkpoint_path
from model.preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing, to_tensor
from model.serving import native_precision, serving_copy
from model.tokenizers import pad
from model.training.depth import train_heads, train_towers
from model.training.features import PhotoReader
from model.training.fine_tuning import EPOCHS
from model.training.fine_tuning_settings import FineTuneSettings
from model.training.heads import put_heads
from model.training.loss import paired_loss
from model.training.pairs import read_photos
from model.training.processes import ALONE
from model.training.trainer import FitSettings, RateGroup, StepFunction, Trainer
from model.training.tuning_corpus import read_corpus
from model.training.tuning_steps import TuningSteps
from model.zoo import CLIP_ARCHITECTURES

LIMITS = ImageLimits()


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
        CaptionedPhoto(path, (f"A photo of something on a shelf, number {number}.",))
        for number, path in enumerate(read_photos(options.photos))
    ]
    with tempfile.TemporaryDirectory() as folder:
        if options.model in CLIP_ARCHITECTURES:
            options.start = Path(folder) / f"{options.model}.safetensors"
            write_random(options.model, options.start)
        else:
            options.start = options.model
        if options.large:
            large_batch(photos, options)
        else:
            compare(photos[: options.batch * 4], options)


def compare(photos: Sequence[CaptionedPhoto], options: argparse.Namespace) -> None:
    """Time the loops step by step in turn and publish their rates."""
    is_clip = options.model in CLIP_ARCHITECTURES
    loops = {
        "plain": (plain_clip if is_clip else plain)(photos, options),
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
    name = f"training_{options.model}" if is_clip else "training"
    publish(name, rows, model=options.model, batch=options.batch)
    bar_plot(name, rows, "loop", "photos a second")


def write_random(name: str, path: Path) -> None:
    """A checkpoint of that architecture, as people get them: in half precision."""
    architecture = CLIP_ARCHITECTURES[name]
    size = architecture.image.image_size
    checkpoint = Checkpoint(
        name,
        architecture,
        Preprocessing(size, "shortest", CLIP_MEAN, CLIP_DEVIATION),
        clip_tokenizer(),
        {name: tensor.half() for name, tensor in architecture.build().state_dict().items()},
    )
    write_checkpoint(checkpoint, path)


def plain_clip(
    photos: Sequence[CaptionedPhoto], options: argparse.Namespace
) -> Callable[[int], None]:
    """The same over the library transformers' CLIPModel, whose defaults are ViT-B/32."""
    from transformers import CLIPConfig, CLIPModel

    assert options.model == "ViT-B-32"
    checkpoint, _ = read_checkpoint(options.start)
    tokenizer, reader = build_tokenizer(checkpoint), PhotoReader(checkpoint.preprocessing, LIMITS)
    model = CLIPModel(CLIPConfig())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def step(number: int) -> None:
        start = number * options.batch % len(photos)
        batch = photos[start : start + options.batch]
        pixels = to_tensor([reader.square(photo.path) for photo in batch], reader.preprocessing)
        ids, is_token = pad(tokenizer([photo.captions[0] for photo in batch]))
        optimizer.zero_grad()
        loss = model(
            input_ids=ids,
            attention_mask=is_token.long(),
            pixel_values=pixels.contiguous(),
            return_loss=True,
        ).loss
        loss.backward()
        optimizer.step()

    return step


def plain(photos: Sequence[CaptionedPhoto], options: argparse.Namespace) -> Callable[[int], None]:
    """A loop as one would write it, in float32."""
    with checkpoint_path(str(options.start)) as path:
        checkpoint, _ = read_checkpoint(path)
    model, tokenizer = build_model(checkpoint), build_tokenizer(checkpoint)
    reader = PhotoReader(checkpoint.preprocessing, LIMITS)
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
    return one_step_of(model, groups, steps.tower_step)


def heads_rate(photos: Sequence[CaptionedPhoto], options: argparse.Namespace) -> float:
    """Photos a second of a default run: features once, then the heads."""
    began = time.perf_counter()
    model, steps = prepared(photos, options)
    once = time.perf_counter() - began
    step = one_step_of(model, train_heads(model, 1e-6), steps.head_step)
    step(0)
    began = time.perf_counter()
    for number in range(1, 21):
        step(number)
    each = (time.perf_counter() - began) / 20 / float(options.batch)
    return EPOCHS * len(photos) / (once + EPOCHS * len(photos) * each)


def prepared(
    photos: Sequence[CaptionedPhoto], options: argparse.Namespace
) -> tuple[DualEncoder, TuningSteps]:
    """The model with its heads, and its steps, after the first pass over the towers."""
    with checkpoint_path(str(options.start)) as path:
        checkpoint, fingerprint = read_checkpoint(path)
    model = build_model(checkpoint)
    reader = PhotoReader(checkpoint.preprocessing, LIMITS)
    towers = serving_copy(model, native_precision())
    put_heads(model)
    with tempfile.TemporaryDirectory() as folder:
        settings = FineTuneSettings(
            start=str(options.start),
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


def one_step_of(
    model: DualEncoder, groups: list[RateGroup], step_function: StepFunction
) -> Callable[[int], None]:
    """Our trainer, one step at a call."""
    trainer = Trainer(model, groups, FitSettings(steps=10_000, warmup_steps=0))
    return lambda _: trainer.run(step_function, lambda *_: True)


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
