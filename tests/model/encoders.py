"""Encoders of own files, made as a test wants them."""

from pathlib import Path

import torch

from model.checkpoints import build_model, build_tokenizer, read_checkpoint
from model.encoder import Encoder


def in_precision(path: Path, precision: torch.dtype) -> Encoder:
    """The encoder of an own file in a precision of the test's choice."""
    checkpoint, fingerprint = read_checkpoint(path)
    return Encoder(
        build_model(checkpoint),
        build_tokenizer(checkpoint),
        checkpoint.preprocessing,
        name=checkpoint.name,
        fingerprint=fingerprint,
        checkpoint=path,
        precision=precision,
    )
