"""The two towers, their projections into one space and the learned temperature.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
2021, section 2.3 and figure 3.

Shape letters: N images or texts, L positions, E embedding width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Radford et al., section 2.5: the temperature starts at 0.07, and logits are never scaled by more
# than 100, which keeps training stable.
INITIAL_LOGIT_SCALE = math.log(1 / 0.07)
MAXIMUM_LOGIT_SCALE = math.log(100)

# Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023, section 3.2.
INITIAL_LOGIT_BIAS = -10.0


class DualEncoder(nn.Module):
    """Images and texts to unit vectors whose inner products are cosines.

    After training by the sigmoid loss (`is_sigmoid`) the probability that an image and a text
    belong together is sigmoid(cosine * exp(logit_scale) + logit_bias); else `logit_bias` is None.
    """

    logit_bias: nn.Parameter | None

    def __init__(
        self,
        image_tower: nn.Module,
        image_projection: nn.Module,
        text_tower: nn.Module,
        text_projection: nn.Module,
        *,
        is_sigmoid: bool = False,
    ) -> None:
        super().__init__()
        self.image_tower = image_tower
        self.image_projection = image_projection
        self.text_tower = text_tower
        self.text_projection = text_projection
        self.logit_scale = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))
        self.register_parameter(
            "logit_bias", nn.Parameter(torch.tensor(INITIAL_LOGIT_BIAS)) if is_sigmoid else None
        )

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) normalised pixels to (N, E) unit rows."""
        return F.normalize(self.image_projection(self.image_tower(pixels)), dim=-1)

    def encode_texts(self, ids: Tensor, is_token: Tensor) -> Tensor:
        """(N, L) token ids and where they are no padding, to (N, E) unit rows."""
        return F.normalize(self.text_projection(self.text_tower(ids, is_token)), dim=-1)
