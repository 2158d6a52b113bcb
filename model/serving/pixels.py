"""8-bit pixels at a tower's door.

Shape letters: N pictures, S side of the square input.
"""

import torch
from torch import Tensor, nn

from model.preprocessing import Preprocessing, byte_scale


class Normalised(nn.Module):
    """(N, S, S, 3) 8-bit pixels to the (N, 3, S, S) ones, channels last, that `tower` takes.

    For towers whose first convolution pads with zeros, which stand for the mean colour only as
    long as the mean is taken off before.
    """

    def __init__(
        self, tower: nn.Module, precision: torch.dtype, preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        self.tower = tower
        self.precision = precision
        mean, deviation = (value.flatten() for value in byte_scale(preprocessing))
        # A row of pixels at a time: loops over three values are slower than over many.
        side = preprocessing.image_size
        self.factor = nn.Parameter((1 / deviation).repeat(side), requires_grad=False)  # (3 S,)
        self.shift = nn.Parameter((-mean / deviation).repeat(side), requires_grad=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, S, S, 3) 8-bit pixels to the tower's features."""
        normalised = torch.empty(pixels.shape, dtype=self.precision, device=pixels.device)
        # One picture at a time fits the cache, in which it is read and written three times.
        for picture, place in zip(pixels.flatten(2), normalised.flatten(2), strict=True):
            place.copy_(torch.addcmul(self.shift, picture.float(), self.factor))
        features: Tensor = self.tower(normalised.permute(0, 3, 1, 2))
        return features
