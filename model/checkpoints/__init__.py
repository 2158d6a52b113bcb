"""Weights from files: the program's own format, and everyone else's turned into it."""

from model.checkpoints.checkpoint import Checkpoint, build_model, build_tokenizer
from model.checkpoints.foreign import convert_checkpoint, is_foreign, read_foreign
from model.checkpoints.own import read_checkpoint, write_checkpoint

__all__ = [
    "Checkpoint",
    "build_model",
    "build_tokenizer",
    "convert_checkpoint",
    "is_foreign",
    "read_checkpoint",
    "read_foreign",
    "write_checkpoint",
]
