"""Views of the training photos, taken through the frozen lower part of the image tower once.

The first blocks of the tower see edges and colours and gain nothing from a few thousand photos,
yet cost more than half of a training step, since they work at the highest resolution. So each
photo is seen in a fixed number of views (the first as the encoder will see it, the others cropped
and mirrored at random), and what the lower part makes of each is kept in one file.

Shape letters: P photos, V views, N a batch, C channels, H and W height and width, F averaged
features. The lower part ends with one map, the last block with another, smaller one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model.durable_files import write_durably
from model.images import decode
from model.preprocessing import Preprocessing, to_square, to_tensor
from model.towers.efficientnet_lite import EfficientNetLite

_BATCH = 32
_LEAST_AREA = 0.5
_WIDEST_ASPECT = 4 / 3


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Which photos, in which views, and which of them mirrored: (N,) integers and booleans.

    A mirrored map is not quite the map of the mirrored photo, since strides begin at one side.
    """

    photos: Tensor
    views: Tensor
    is_mirrored: Tensor

    def __getitem__(self, part: slice) -> Seen:
        return Seen(self.photos[part], self.views[part], self.is_mirrored[part])

    def __len__(self) -> int:
        return len(self.photos)


@dataclass(frozen=True, slots=True, eq=False)
class Activations:
    """`lower` and `last` are (P, V, C, H, W) float16 on disk, `features` (P, V, F) in memory.

    `last` and `features` are those of the tower the views were taken or finished with.
    """

    lower: NDArray[np.float16]
    last: NDArray[np.float16]
    features: Tensor

    def lower_maps(self, seen: Seen) -> Tensor:
        """(N, C, H, W) float32, channels last."""
        return _taken(self.lower, seen)

    def last_maps(self, seen: Seen) -> Tensor:
        """(N, C, H, W) float32, channels last."""
        return _taken(self.last, seen)


def take_views(
    photos: Sequence[Path],
    tower: EfficientNetLite,
    preprocessing: Preprocessing,
    *,
    blocks: int,
    views: int,
    seed: int,
    file: Path,
    progress: Callable[[int, int], None],
) -> Activations:
    """Decode, crop and compute every view; `tower` is for serving: evaluation mode, norms folded.

    `file` and one beside it keep the result, for a run that is resumed, and may be removed
    afterwards. `progress` hears (done, total) in views.

    Raises ImageError for a photo that cannot be decoded.
    """
    dtype = next(tower.parameters()).dtype
    lower_shape, last_shape = (
        (len(photos), views, *shape) for shape in _map_shapes(tower, preprocessing, blocks)
    )
    identity = f"{[str(photo) for photo in photos]} {lower_shape} {preprocessing} {seed}"
    identity = hashlib.sha256(identity.encode()).hexdigest()
    finished_file = file.with_suffix(".safetensors")
    last_file = file.with_suffix(".last")
    if (known := _known_features(finished_file, identity)) is not None:
        return Activations(
            np.memmap(file, np.float16, "r", shape=lower_shape),
            np.memmap(last_file, np.float16, "r", shape=last_shape),
            known,
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    lower = np.memmap(file, np.float16, "w+", shape=lower_shape)
    last = np.memmap(last_file, np.float16, "w+", shape=last_shape)
    features = torch.empty(len(photos), views, tower.config.features)
    jobs = [(photo, view) for photo in range(len(photos)) for view in range(views)]

    def square(job: tuple[int, int]) -> NDArray[np.uint8]:
        photo, view = job
        picture = decode(photos[photo], shorter_side=preprocessing.image_size)
        if view == 0:
            return to_square(picture.rgb, preprocessing)
        return _random_view(picture.rgb, preprocessing, np.random.default_rng((seed, *job)))

    done = 0
    for batch, squares in _ahead(square, jobs):
        pixels = to_tensor(squares, preprocessing)
        pixels = pixels.to(dtype, memory_format=torch.channels_last)
        with torch.inference_mode():
            begun = tower.begin(pixels, blocks)
            ended = tower.last_map(begun, blocks)
            averaged = tower.average(ended).float()
        rows = tuple(np.array(batch).T)
        lower[rows] = begun.to(torch.float16).numpy()
        last[rows] = ended.to(torch.float16).numpy()
        features[rows] = averaged
        done += len(batch)
        progress(done, len(jobs))
    lower.flush()
    last.flush()
    write_durably(finished_file, save({"features": features}, {"identity": identity}))
    return Activations(lower, last, features)


def finish_views(
    activations: Activations,
    tower: EfficientNetLite,
    blocks: int,
    file: Path,
    progress: Callable[[int, int], None],
) -> Activations:
    """The same views seen by another upper tower, one for serving; `file` keeps its last maps."""
    dtype = next(tower.parameters()).dtype
    photos, views, width = activations.features.shape
    features = torch.empty(photos * views, width)
    last = np.memmap(file, np.float16, "w+", shape=activations.last.shape)
    rows = torch.arange(photos * views)
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            seen = Seen(batch // views, batch % views, torch.zeros_like(batch, dtype=torch.bool))
            ended = tower.last_map(activations.lower_maps(seen).to(dtype), blocks)
            last[seen.photos.numpy(), seen.views.numpy()] = ended.to(torch.float16).numpy()
            features[batch] = tower.average(ended).float()
            progress(start + len(batch), len(rows))
    return Activations(activations.lower, last, features.view(photos, views, width))


def _taken(maps: NDArray[np.float16], seen: Seen) -> Tensor:
    taken = torch.from_numpy(maps[seen.photos.numpy(), seen.views.numpy()]).float()
    taken[seen.is_mirrored] = taken[seen.is_mirrored].flip(-1)
    return taken.contiguous(memory_format=torch.channels_last)


def _ahead(
    square: Callable[[tuple[int, int]], NDArray[np.uint8]], jobs: list[tuple[int, int]]
) -> Iterator[tuple[tuple[tuple[int, int], ...], list[NDArray[np.uint8]]]]:
    """Batches of jobs with their squares, the next batch being decoded meanwhile."""
    batches = [tuple(jobs[at : at + _BATCH]) for at in range(0, len(jobs), _BATCH)]
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(square, job) for job in batches[0]]
        for position, batch in enumerate(batches):
            following = batches[position + 1] if position + 1 < len(batches) else ()
            coming = [pool.submit(square, job) for job in following]
            yield batch, [future.result() for future in waiting]
            waiting = coming


def _random_view(
    rgb: Image.Image, preprocessing: Preprocessing, random: np.random.Generator
) -> NDArray[np.uint8]:
    area = random.uniform(_LEAST_AREA, 1)
    aspect = _WIDEST_ASPECT ** random.uniform(-1, 1)
    width = rgb.width * min(1.0, (area * aspect) ** 0.5)
    height = rgb.height * min(1.0, (area / aspect) ** 0.5)
    left = random.uniform(0, rgb.width - width)
    top = random.uniform(0, rgb.height - height)
    side = preprocessing.image_size
    view = rgb.resize(
        (side, side), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height)
    )
    if random.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(view)


def _known_features(file: Path, identity: str) -> Tensor | None:
    """The features of an earlier run over the same views; written last, so the views are whole."""
    try:
        with safe_open(file, "pt") as opened:
            if (opened.metadata() or {}).get("identity") != identity:
                return None
            features: Tensor = opened.get_tensor("features")
            return features
    except (OSError, SafetensorError):
        return None


def _map_shapes(
    tower: EfficientNetLite, preprocessing: Preprocessing, blocks: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    side = preprocessing.image_size
    dtype = next(tower.parameters()).dtype
    with torch.inference_mode():
        begun = tower.begin(torch.zeros(1, 3, side, side, dtype=dtype), blocks)
        return tuple(begun.shape[1:]), tuple(tower.last_map(begun, blocks).shape[1:])
