"""CLIP's ResNet in the form that embeds fastest: each convolution one pass over memory.

Shape letters: N images, S side of the square input, C channels, H and W height and width, G side of
the last map, L = G * G + 1 positions, A attention heads, D width of one head, E embedding width.
"""

import copy

import torch
from torch import Tensor, nn

from model.serving.convolution import PackedConv
from model.towers.modified_resnet import AttentionPool, Bottleneck, ModifiedResNet


class ServingAttentionPool(nn.Module):
    """Attention with one query, in which no position needs a key or a value of its own.

    q . (K x) = (K^T q) . x, and the weighted sum of V x is V of the weighted sum, so both matrices
    are applied once an image and head. A key's bias adds the same to every score, which changes no
    weight; a value's bias is left as it is by weights that sum to one.
    """

    def __init__(self, pool: AttentionPool) -> None:
        super().__init__()
        self.heads = pool.heads
        self.positional_embedding = copy.deepcopy(pool.positional_embedding)
        self.query = copy.deepcopy(pool.q_proj)
        self.value_bias = copy.deepcopy(pool.v_proj.bias)
        self.project = copy.deepcopy(pool.c_proj)
        key, value = (
            nn.Parameter(linear.weight.detach().view(pool.heads, -1, linear.in_features).clone())
            for linear in (pool.k_proj, pool.v_proj)
        )
        self.key, self.value = key, value  # (A, D, C) both

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, G, G) to (N, E), in float32."""
        x = x.flatten(2).transpose(1, 2)  # (N, G * G, C)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positional_embedding
        query = self.query(x[:, 0]).unflatten(-1, (self.heads, -1))  # (N, A, D)
        asked = torch.matmul(query.transpose(0, 1), self.key).transpose(0, 1)  # (N, A, C)
        score = torch.matmul(asked, x.transpose(1, 2)) * query.shape[-1] ** -0.5  # (N, A, L)
        seen = torch.matmul(score.softmax(dim=-1), x)  # (N, A, C)
        value = torch.matmul(seen.transpose(0, 1), self.value.transpose(1, 2))  # (A, N, D)
        pooled: Tensor = self.project(value.transpose(0, 1).flatten(1) + self.value_bias)
        return pooled  # (N, E)


class ServingBottleneck(nn.Module):
    """Three convolutions, the shortcut added by the last."""

    def __init__(self, block: Bottleneck, precision: torch.dtype) -> None:
        super().__init__()

        def packed(conv: nn.Conv2d, norm: nn.Module, *, padding: int = 0) -> PackedConv:
            return PackedConv(conv, norm, precision, activation="relu", padding=padding)

        self.conv1 = packed(block.conv1, block.bn1)
        self.conv2 = packed(block.conv2, block.bn2, padding=1)
        self.conv3 = packed(block.conv3, block.bn3)
        self.pool = block.pool
        self.shortcut: PackedConv | None = None
        if isinstance(block.downsample, nn.Sequential):
            _, conv, norm = block.downsample
            assert isinstance(conv, nn.Conv2d)
            self.shortcut = PackedConv(conv, norm, precision, activation="none", padding=0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        inner = self.pool(self.conv2(self.conv1(x)))
        if self.shortcut is not None:
            x = self.shortcut(self.pool(x))
        convolved: Tensor = self.conv3(inner, x)
        return convolved


class ServingModifiedResNet(nn.Module):
    """Pixels to the attention pool's answer, which, done once an image, stays in float32."""

    def __init__(self, tower: ModifiedResNet, precision: torch.dtype) -> None:
        super().__init__()
        self.precision = precision
        self.stem = nn.Sequential(
            *(
                PackedConv(conv, norm, precision, activation="relu", padding=1)
                for conv, norm in (
                    (tower.conv1, tower.bn1),
                    (tower.conv2, tower.bn2),
                    (tower.conv3, tower.bn3),
                )
            ),
            nn.AvgPool2d(2),
        )
        stages = (tower.layer1, tower.layer2, tower.layer3, tower.layer4)
        self.blocks = nn.Sequential(
            *(
                ServingBottleneck(block, precision)
                for stage in stages
                for block in stage
                if isinstance(block, Bottleneck)
            )
        )
        self.attnpool = ServingAttentionPool(tower.attnpool)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised pixels to (N, E) float32, not normalised."""
        x = pixels.to(self.precision, memory_format=torch.channels_last)
        pooled: Tensor = self.attnpool(self.blocks(self.stem(x)).float())
        return pooled
