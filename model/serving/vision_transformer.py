"""CLIP's vision transformer in the form that embeds fastest.

Shape letters: N images, S side of the square input, P side of a patch, G patches a side, W width,
E embedding width.
"""

import copy

import torch
from torch import Tensor, nn

from model.preprocessing import Preprocessing, byte_scale
from model.serving.linear import PackedLinear
from model.serving.transformer import ServingTransformer
from model.towers.vision_transformer import VisionTransformer


class ServingVisionTransformer(nn.Module):
    """Pixels to the class token's feature, projected.

    A convolution that steps from patch to patch is a linear map of each. With `preprocessing` the
    pixels are 8-bit values, which bfloat16 holds exactly, and the map contains what is taken off
    them and what they are divided by. What is done once an image stays in float32.
    """

    def __init__(
        self, tower: VisionTransformer, precision: torch.dtype, preprocessing: Preprocessing | None
    ) -> None:
        super().__init__()
        self.patch_size = tower.config.patch_size
        self.precision = precision
        self.takes_bytes = preprocessing is not None
        weight = tower.conv1.weight.detach()  # (W, 3, P, P)
        positions = tower.positional_embedding.detach().clone()  # (G * G + 1, W)
        if preprocessing is not None:
            mean, deviation = byte_scale(preprocessing)  # (3, 1, 1) both
            weight = weight / deviation
            positions[1:] -= (weight * mean).sum(dim=(1, 2, 3))
        positions[0] += tower.class_embedding.detach()
        self.patches = PackedLinear(weight.permute(0, 2, 3, 1).flatten(1), None, precision)
        self.positional_embedding = nn.Parameter(positions, requires_grad=False)
        self.ln_pre = copy.deepcopy(tower.ln_pre)
        self.transformer = ServingTransformer(tower.transformer, precision)
        self.ln_post = copy.deepcopy(tower.ln_post)
        self.proj = copy.deepcopy(tower.proj)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised pixels, or (N, S, S, 3) 8-bit ones, to (N, E) float32."""
        size = self.patch_size
        if not self.takes_bytes:
            pixels = pixels.permute(0, 2, 3, 1)
        n, side = pixels.shape[:2]
        grid = side // size
        patches = (
            pixels.reshape(n, grid, size, grid, size * 3)
            .transpose(2, 3)  # (N, G, G, P, 3 P)
            .to(self.precision, memory_format=torch.contiguous_format)
            .reshape(n, grid * grid, -1)
        )
        x = self.patches(patches).float()  # (N, G * G, W)
        start = x.new_zeros(x.shape[0], 1, x.shape[2])  # (N, 1, W)
        x = torch.cat([start, x], dim=1) + self.positional_embedding  # (N, G * G + 1, W)
        x = self.ln_pre(x).to(self.precision)
        read = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
        x = self.transformer(x, read).float()  # (N, W)
        projected: Tensor = self.ln_post(x) @ self.proj  # (N, E)
        return projected
