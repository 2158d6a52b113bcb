"""Towers that the library `transformers` computes, with the inputs and outputs of our own.

A dual encoder of that library is one module whose children belong to one side each; a tower keeps
the children of its side alone.

Shape letters: N images or texts, S side of the square input, L positions, E embedding width.
"""

import copy
from typing import Any

from torch import Tensor, nn

_IMAGE = ("vision_", "visual_", "image_")
_TEXT = ("text_",)


class AdaptedImageTower(nn.Module):
    """Pixels to what the library calls the image's features, its projection included."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = _side(model, _IMAGE)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) normalised pixels to (N, E), not normalised."""
        features: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return features


class AdaptedTextTower(nn.Module):
    """Token ids to what the library calls the text's features, its projection included."""

    def __init__(self, model: nn.Module, pad_id: int) -> None:
        super().__init__()
        self.model: Any = _side(model, _TEXT)
        self.pad_id = pad_id

    def forward(self, ids: Tensor, is_token: Tensor) -> Tensor:
        """(N, L) ids and (N, L) booleans, false at padding, to (N, E), not normalised."""
        features: Tensor = self.model.get_text_features(
            input_ids=ids.masked_fill(~is_token, self.pad_id), attention_mask=is_token.long()
        ).pooler_output
        return features


def adapted_stages(tower: AdaptedImageTower | AdaptedTextTower) -> list[list[nn.Module]]:
    """What embeds the input, then the blocks, each alone, from the input to the output."""
    embeddings = [part for name, part in tower.named_modules() if name.endswith(".embeddings")]
    lists = [part for part in tower.modules() if isinstance(part, nn.ModuleList)]
    return [embeddings, *([block] for block in max(lists, key=len, default=nn.ModuleList()))]


def parts_of_no_tower(model: nn.Module) -> list[str]:
    """Names of the model's children that neither tower would keep."""
    return [name for name, _ in model.named_children() if not name.startswith((*_IMAGE, *_TEXT))]


def _side(model: nn.Module, prefixes: tuple[str, ...]) -> nn.Module:
    part = copy.copy(model)
    part._parameters = {}  # noqa: SLF001  (a module has no public way to drop a child)
    part._modules = {  # noqa: SLF001
        name: child for name, child in model.named_children() if name.startswith(prefixes)
    }
    return part
