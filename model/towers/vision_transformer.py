"""CLIP's vision transformer: the image as a sequence of patches behind a class token.

Sources: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020; Radford et al., 2021, section
2.4 (the normalisation before the transformer). Parameter names are those of OpenAI's checkpoints.

Shape letters: N images, S side of the square input, P side of a patch,
G patches a side, W width, E embedding width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.towers.transformer import Activation, Transformer


@dataclass(frozen=True, slots=True)
class VisionTransformerConfig:
    """Sizes in pixels, widths in features."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    inner_width: int
    embedding_width: int
    activation: Activation


class VisionTransformer(nn.Module):
    """Pixels to the class token's feature, projected."""

    def __init__(self, config: VisionTransformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        patches = (config.image_size // config.patch_size) ** 2
        deviation = width**-0.5
        self.conv1 = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(deviation * torch.randn(width))
        self.positional_embedding = nn.Parameter(deviation * torch.randn(patches + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(
            width,
            config.layers,
            config.heads,
            config.inner_width,
            config.activation,
            is_causal=False,
        )
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(deviation * torch.randn(width, config.embedding_width))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised pixels to (N, E), not normalised."""
        # A convolution that steps from patch to patch is a linear map of each, and as one its
        # gradient is several times faster on processors.
        x = F.linear(self._patches(pixels), self.conv1.weight.flatten(1))  # (N, G * G, W)
        start = self.class_embedding.expand(x.shape[0], 1, -1)  # (N, 1, W)
        x = torch.cat([start, x], dim=1) + self.positional_embedding  # (N, G * G + 1, W)
        x = self.transformer(self.ln_pre(x))  # (N, G * G + 1, W)
        projected: Tensor = self.ln_post(x[:, 0]) @ self.proj  # (N, E)
        return projected

    def _patches(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) to (N, G * G, 3 * P * P), row by row."""
        n, colours, side, _ = pixels.shape
        size = self.config.patch_size
        grid = side // size
        patches = pixels.reshape(n, colours, grid, size, grid, size).permute(0, 2, 4, 1, 3, 5)
        return patches.reshape(n, grid * grid, colours * size * size)


def resized_positions(positions: Tensor, grid: int) -> Tensor:
    """(G * G + 1, W) positions for another grid, by bicubic interpolation; the class token's stays.

    Raises ValueError when they are not those of a square grid.
    """
    start, patches = positions[:1], positions[1:]
    old_grid = round(patches.shape[0] ** 0.5)
    if old_grid**2 != patches.shape[0]:
        raise ValueError(f"{patches.shape[0]} positions are no square grid")
    if old_grid == grid:
        return positions
    square = patches.float().reshape(1, old_grid, old_grid, -1).permute(0, 3, 1, 2)  # (1, W, G, G)
    resized = F.interpolate(square, (grid, grid), mode="bicubic", antialias=True)
    flat = resized.permute(0, 2, 3, 1).reshape(grid * grid, -1)  # (G * G, W)
    return torch.cat([start, flat.to(positions.dtype)])
