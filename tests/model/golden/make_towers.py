"""Make `towers.safetensors`: what two reference implementations give for small random towers.

Needs `efficientnet-lite-pytorch` 0.1.0 and `transformers` beside the project; the tests need
neither. Run from the repository's root: `PYTHONPATH=. python tests/model/golden/make_towers.py`.
"""

from pathlib import Path

import torch
from efficientnet_lite_pytorch.model import EfficientNet
from efficientnet_lite_pytorch.utils import BlockArgs, GlobalParams
from safetensors.torch import save_file
from torch import Tensor
from transformers import BertConfig, BertModel

from model.training.backbones import to_image_state, to_text_state


def image_tower() -> dict[str, Tensor]:
    """Weights, pixels and features of three stages on an odd side, where padding is uneven."""
    blocks = [
        BlockArgs(1, 3, [1], 1, 32, 16, se_ratio=None, id_skip=True),
        BlockArgs(2, 5, [2], 6, 16, 24, se_ratio=None, id_skip=True),
        BlockArgs(1, 3, [2], 6, 24, 40, se_ratio=None, id_skip=True),
    ]
    shared = GlobalParams(
        width_coefficient=0.25,
        depth_coefficient=1.0,
        image_size=38,
        num_classes=2,
        dropout_rate=0.0,
        batch_norm_momentum=0.99,
        batch_norm_epsilon=1e-3,
        depth_divisor=8,
        relu_fn="relu6",
        fix_head_stem=True,
    )
    tower = EfficientNet(blocks, shared)
    for name, tensor in tower.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean") or "_bn" in name:
            tensor.copy_(torch.randn_like(tensor.float()) * 0.3 + (name.endswith("weight")))
    pixels = torch.randn(2, 3, 38, 38)
    features = tower.eval().extract_features(pixels).mean(dim=(2, 3))
    state = {key: value for key, value in tower.state_dict().items() if "_fc" not in key}
    return {
        "image.pixels": pixels,
        "image.features": features,
        **{f"image.state.{name}": tensor for name, tensor in to_image_state(state).items()},
    }


def text_tower() -> dict[str, Tensor]:
    """Weights, ids and mean-pooled features of two texts of different length."""
    config = BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=12,
        layer_norm_eps=1e-12,
    )
    tower = BertModel(config).eval()
    ids = torch.randint(1, 50, (2, 9))
    ids[1, 5:] = 0
    is_token = ids > 0
    positions = tower(input_ids=ids, attention_mask=is_token.long()).last_hidden_state
    weight = is_token[..., None].float()
    return {
        "text.ids": ids,
        "text.features": (positions * weight).sum(dim=1) / weight.sum(dim=1),
        **{
            f"text.state.{name}": tensor
            for name, tensor in to_text_state(tower.state_dict(), positions=12).items()
        },
    }


if __name__ == "__main__":
    torch.manual_seed(3)
    with torch.no_grad():
        golden = {**image_tower(), **text_tower()}
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in golden.items()},
        Path(__file__).with_name("towers.safetensors"),
    )
