"""Weights from files: the program's own format, and everyone else's turned into it."""

from model.checkpoints.checkpoint import Checkpoint, build_model, build_tokenizer
from model.checkpoints.foreign import convert_checkpoint, read_foreign
from model.checkpoints.own import is_own, read_checkpoint, write_checkpoint

__all__ = [
    "Checkpoint",
    "build_model",
    "build_tokenizer",
    "convert_checkpoint",
    "is_own",
    "read_checkpoint",
    "read_foreign",
    "write_checkpoint",
]
