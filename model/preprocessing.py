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

Fit = Literal["squash", "crop", "pad", "shortest"]
Resampling = Literal["bicubic", "bilinear"]

# OpenAI's, of the pictures that its models were trained on.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes the model's input; it travels with the weights and is never guessed.

    `fit` is what happens to a picture that is not square: "squash" ignores the aspect, "crop"
    keeps the middle square, "pad" adds borders of the mean colour, "shortest" does as CLIP's
    reference code: the shorter side becomes `image_size`, the other one whole pixels, and the
    middle is cut out at a whole pixel. Pixels in [0, 1] have `mean` taken off and are divided by
    `deviation`, a value for each of red, green and blue.
    """

    image_size: int
    fit: Fit
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    resampling: Resampling = "bicubic"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `asdict`. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            image_size=int(values["image_size"]),
            fit=values["fit"],
            mean=_three(values["mean"]),
            deviation=_three(values["deviation"]),
            # Files older than the choice do not name it.
            resampling=values.get("resampling", "bicubic"),
        )

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= 4096:
            raise ValueError(f"image_size {self.image_size} is not between 1 and 4096")
        if self.fit not in get_args(Fit):
            raise ValueError(f"fit {self.fit!r} is none of {', '.join(get_args(Fit))}")
        if self.resampling not in _FILTERS:
            raise ValueError(f"resampling {self.resampling!r} is none of {', '.join(_FILTERS)}")
        if min(self.deviation) <= 0:
            raise ValueError(f"deviation {self.deviation} is not above zero")


# A picture is not enlarged as a whole beyond this many squares: a strip could take any memory.
_MOST_SQUARES = 16


def to_square(rgb: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """An RGB picture as (S, S, 3) 8-bit pixels by antialiased resizing; thread-safe.

    "shortest" gives the pixels of the reference code within one grey level, but for pictures that
    are smaller than the square and over sixteen times as long as wide.
    """
    size = preprocessing.image_size
    filter_ = _FILTERS[preprocessing.resampling]
    if preprocessing.fit == "pad":
        scale = size / max(rgb.size)
        inner = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        colour = tuple(round(255 * value) for value in preprocessing.mean)
        square = Image.new("RGB", (size, size), colour)
        square.paste(rgb.resize(inner, filter_), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    elif preprocessing.fit == "shortest":
        square = _middle(rgb, size, filter_)
    else:
        width, height = rgb.size
        side = min(rgb.size)
        left, top = (width - side) / 2, (height - side) / 2
        is_cropped = preprocessing.fit == "crop"
        box = (left, top, left + side, top + side) if is_cropped else (0, 0, width, height)
        square = rgb.resize((size, size), filter_, box)
    return np.asarray(square)


def to_tensor(pixels: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing) -> Tensor:
    """N arrays of (S, S, 3) 8-bit pixels as one (N, 3, S, S) float32 tensor, channels last."""
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
    mean, deviation = byte_scale(preprocessing)
    return batch.sub_(mean).div_(deviation)


def byte_scale(preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """What is taken off 8-bit pixels and what they are then divided by, both (3, 1, 1)."""
    mean = torch.tensor(preprocessing.mean).view(3, 1, 1) * 255
    deviation = torch.tensor(preprocessing.deviation).view(3, 1, 1) * 255
    return mean, deviation


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)


def _middle(rgb: Image.Image, size: int, filter_: Image.Resampling) -> Image.Image:
    """The middle square of the picture resized so that its shorter side is `size` pixels."""
    shorter = min(rgb.size)
    width, height = (int(size * side / shorter) for side in rgb.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if shorter < size and width * height <= _MOST_SQUARES * size * size:
        # Pillow may enlarge along the other side first than for the square alone.
        return rgb.resize((width, height), filter_).crop((left, top, left + size, top + size))
    # A resize of that part alone gives the same pixels for less.
    x, y = rgb.width / width, rgb.height / height
    box = (left * x, top * y, (left + size) * x, (top + size) * y)
    return rgb.resize((size, size), filter_, box)
