"""Views of the training photos, taken through the frozen lower part of the image tower once.

The first blocks of the tower see edges and colours and gain nothing from a few thousand photos,
yet cost more than half of a training step, since they work at the highest resolution. So each
photo is seen in a fixed number of views (the first as the encoder will see it, the others cropped
and mirrored at random), and what the lower part makes of each is kept in one file.

Shape letters: P photos, V views, N a batch, C channels, H and W height and width, F features.
"""

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
class Activations:
    """`lower` is (P, V, C, H, W) float16 on disk, `features` (P, V, F) float32 in memory."""

    lower: NDArray[np.float16]
    features: Tensor

    def batch(self, photos: Tensor, views: Tensor) -> Tensor:
        """(N, C, H, W) float32 of the chosen photos and views, channels last."""
        taken = torch.from_numpy(self.lower[photos.numpy(), views.numpy()])
        return taken.float().contiguous(memory_format=torch.channels_last)


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
    shape = (len(photos), views, *_lower_shape(tower, preprocessing, blocks))
    identity = f"{[str(photo) for photo in photos]} {shape} {preprocessing} {seed}"
    identity = hashlib.sha256(identity.encode()).hexdigest()
    finished_file = file.with_suffix(".safetensors")
    if (known := _known_features(finished_file, identity)) is not None:
        return Activations(np.memmap(file, np.float16, "r", shape=shape), known)
    file.parent.mkdir(parents=True, exist_ok=True)
    lower = np.memmap(file, np.float16, "w+", shape=shape)
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
            finished = tower.finish(begun, blocks).float()
        rows = tuple(np.array(batch).T)
        lower[rows] = begun.to(torch.float16).numpy()
        features[rows] = finished
        done += len(batch)
        progress(done, len(jobs))
    lower.flush()
    write_durably(finished_file, save({"features": features}, {"identity": identity}))
    return Activations(lower, features)


def finish_views(
    activations: Activations,
    tower: EfficientNetLite,
    blocks: int,
    progress: Callable[[int, int], None],
) -> Activations:
    """The same views with the features of another upper tower, one for serving, in their place."""
    dtype = next(tower.parameters()).dtype
    photos, views, width = activations.features.shape
    features = torch.empty(photos * views, width)
    rows = torch.arange(photos * views)
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            lower = activations.batch(batch // views, batch % views).to(dtype)
            features[batch] = tower.finish(lower, blocks).float()
            progress(start + len(batch), len(rows))
    return Activations(activations.lower, features.view(photos, views, width))


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


def _lower_shape(
    tower: EfficientNetLite, preprocessing: Preprocessing, blocks: int
) -> tuple[int, ...]:
    side = preprocessing.image_size
    dtype = next(tower.parameters()).dtype
    with torch.inference_mode():
        return tuple(tower.begin(torch.zeros(1, 3, side, side, dtype=dtype), blocks).shape[1:])
