"""A picture to the model's square of pixels, and pixels to the tensor a tower takes.

Shape letters: N pictures, S side of the square input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Fit = Literal["squash", "crop", "pad"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes the model's input; it travels with the weights and is never guessed.

    `fit` is what happens to a picture that is not square: "squash" ignores the aspect, "crop"
    keeps the middle square, "pad" adds borders of the mean colour. Pixels in [0, 1] have `mean`
    taken off and are divided by `deviation`, a value for each of red, green and blue.
    """

    image_size: int
    fit: Fit
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `asdict`. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            image_size=int(values["image_size"]),
            fit=values["fit"],
            mean=_three(values["mean"]),
            deviation=_three(values["deviation"]),
        )

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= 4096:
            raise ValueError(f"image_size {self.image_size} is not between 1 and 4096")
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit {self.fit!r} is none of {', '.join(get_args(Fit))}")
        if min(self.deviation) <= 0:
            raise ValueError(f"deviation {self.deviation} is not above zero")


def to_square(rgb: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """An RGB picture as (S, S, 3) 8-bit pixels by antialiased bicubic resizing; thread-safe."""
    size = preprocessing.image_size
    width, height = rgb.size
    if preprocessing.fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        square = _resize(rgb, (size, size), (left, top, left + side, top + side))
    elif preprocessing.fit == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        colour = tuple(round(255 * value) for value in preprocessing.mean)
        square = Image.new("RGB", (size, size), colour)
        square.paste(
            _resize(rgb, inner, (0, 0, width, height)),
            ((size - inner[0]) // 2, (size - inner[1]) // 2),
        )
    else:
        square = _resize(rgb, (size, size), (0, 0, width, height))
    return np.asarray(square)


def to_tensor(pixels: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing) -> Tensor:
    """N arrays of (S, S, 3) 8-bit pixels as one (N, 3, S, S) float32 tensor, channels last."""
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
    mean = torch.tensor(preprocessing.mean).view(3, 1, 1) * 255
    deviation = torch.tensor(preprocessing.deviation).view(3, 1, 1) * 255
    return batch.sub_(mean).div_(deviation)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)


def _resize(
    rgb: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Image.Image:
    return rgb.resize(size, Image.Resampling.BICUBIC, box=box)
