"""What an image tower makes of photos, and how it is kept in parts on disk.

Shape letters: P photos, R readable photos, F width of a tower's feature.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from model.durable_files import write_durably
from model.errors import ImageError
from model.images import ImageLimits, decode
from model.preprocessing import Preprocessing, to_square, to_tensor
from model.training.processes import ALONE, Processes

# A run that was killed computes at most this many photos again.
_PHOTOS_A_PART = 128
_BATCH = 32
_DECODING_THREADS = 2


@dataclass(frozen=True, slots=True)
class UnreadablePhoto:
    """A photo that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFeatures:
    """`features` is (R, F) float32 of the photos at the places `readable`, (R,) integers.

    `digests` are the SHA-256 of the readable files.
    """

    features: Tensor
    readable: NDArray[np.int64]
    digests: tuple[str, ...]
    unreadable: tuple[UnreadablePhoto, ...]


@dataclass(frozen=True, slots=True)
class PhotoReader:
    """Photos to the pixels that a tower takes. Every method may be called from several threads."""

    preprocessing: Preprocessing
    limits: ImageLimits

    def square(self, photo: Path) -> NDArray[np.uint8]:
        """(S, S, 3) pixels as the encoder sees them. Raises ImageError, OSError."""
        picture = decode(photo, self.limits, shorter_side=self.preprocessing.image_size)
        return to_square(picture.rgb, self.preprocessing)

    def squares(self, photos: Sequence[Path]) -> list[NDArray[np.uint8]]:
        """`square` of each, decoded beside each other."""
        with ThreadPoolExecutor(_DECODING_THREADS) as pool:
            return list(pool.map(self.square, photos))

    def features(self, squares: Sequence[NDArray[np.uint8]], tower: nn.Module) -> Tensor:
        """(N, F) float32 of N squares, in one batch and without a graph."""
        dtype = next(tower.parameters()).dtype
        batch = to_tensor(squares, self.preprocessing)
        with torch.inference_mode():
            computed: Tensor = tower(batch.to(dtype, memory_format=torch.channels_last)).float()
        return computed.clone()


def read_photo_features(
    photos: Sequence[Path],
    tower: nn.Module,
    reader: PhotoReader,
    *,
    identity: str,
    folder: Path,
    progress: Callable[[int, int], None],
    processes: Processes = ALONE,
) -> PhotoFeatures:
    """Decode and embed every photo; `tower` is for serving, in evaluation mode.

    `folder` keeps finished parts for a run that is resumed; `identity` stands for the weights they
    were made with. `progress` hears (done, total) in photos. Several processes share the parts.
    """
    files = []
    for number, start in enumerate(range(0, len(photos), _PHOTOS_A_PART)):
        part = photos[start : start + _PHOTOS_A_PART]
        key = f"{identity} {reader} {[str(photo) for photo in part]}"
        files.append(folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors")
        if processes.owns(number) and _read(files[-1]) is None:

            def within(done: int, start: int = start) -> None:
                progress(start + done, len(photos))

            _write(files[-1], part, tower, reader, within)
        progress(start + len(part), len(photos))
    processes.wait()
    parts = [read for file in files if (read := _read(file)) is not None]
    found = [one for _, entries in parts for one in entries]
    readable = np.flatnonzero([digest is not None for digest, _ in found])
    return PhotoFeatures(
        torch.cat([features for features, _ in parts if len(features)] or [torch.empty(0, 0)]),
        readable,
        tuple(digest for digest, _ in found if digest is not None),
        tuple(
            UnreadablePhoto(photo, reason)
            for photo, (digest, reason) in zip(photos, found, strict=True)
            if digest is None
        ),
    )


def _write(
    file: Path,
    photos: Sequence[Path],
    tower: nn.Module,
    reader: PhotoReader,
    progress: Callable[[int], None],
) -> None:
    def entry(photo: Path) -> tuple[NDArray[np.uint8] | None, str | None, str]:
        try:
            square = reader.square(photo)
            with photo.open("rb") as opened:
                return square, hashlib.file_digest(opened, "sha256").hexdigest(), ""
        except ImageError as error:
            return None, None, str(error)
        except OSError as error:
            return None, None, error.strerror or "it can't be opened"

    vectors, entries = [], []
    with ThreadPoolExecutor(_DECODING_THREADS) as pool:
        for start in range(0, len(photos), _BATCH):
            found = list(pool.map(entry, photos[start : start + _BATCH]))
            entries += [(digest, reason) for _, digest, reason in found]
            squares = [square for square, _, _ in found if square is not None]
            if squares:
                vectors.append(reader.features(squares, tower))
            progress(len(entries))
    features = torch.cat(vectors) if vectors else torch.empty(0, 0)
    write_durably(file, save({"features": features}, {"entries": json.dumps(entries)}))


def _read(file: Path) -> tuple[Tensor, list[tuple[str | None, str]]] | None:
    """A finished part; None when there is none yet, or what is there is damaged."""
    try:
        with safe_open(file, "pt") as opened:
            entries = json.loads((opened.metadata() or {})["entries"])
            return opened.get_tensor("features"), [(digest, reason) for digest, reason in entries]
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
