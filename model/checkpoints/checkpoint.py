"""A model as a file holds it, and the modules and tokenizer built from it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.errors import CheckpointMismatch
from model.preprocessing import Preprocessing
from model.tokenizers import Tokenizer, TokenizerSettings
from model.zoo import Architecture


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as stored: `name` is what people call it, tensors are in the precision of the file.

    Tensor names are those of the modules that `architecture` builds.
    """

    name: str
    architecture: Architecture
    preprocessing: Preprocessing
    tokenizer: TokenizerSettings
    tensors: Mapping[str, Tensor]


def build_model(checkpoint: Checkpoint) -> DualEncoder:
    """The modules with the checkpoint's weights in float32, in evaluation mode.

    Weights that are float32 already are shared with the checkpoint, not copied.

    Raises CheckpointMismatch that names every tensor missing, left over or of another shape.
    """
    with torch.device("meta"):
        model = checkpoint.architecture.build()
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = checkpoint.tensors
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        name for name, shape in expected.items() if name in found and found[name].shape != shape
    ]
    if missing or unexpected or misshapen:
        raise CheckpointMismatch(missing, unexpected, misshapen)
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in found.items()
    }
    model.load_state_dict(state, assign=True)
    return model.eval()


def build_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer, cutting at the text tower's context length."""
    return Tokenizer(checkpoint.tokenizer, checkpoint.architecture.context_length)
