"""The layer that understands: pictures and texts in, embeddings in one shared space out.

Other layers import from here only.
"""

from model.errors import (
    CheckpointDamaged,
    CheckpointError,
    CheckpointMismatch,
    CheckpointNotFound,
    DamagedImage,
    EmptyImage,
    EmptyText,
    ImageError,
    ImageTooLarge,
    LabelError,
    ModelError,
    NonFiniteLoss,
    PairsError,
    TextError,
    TextTooLong,
    TrainingError,
    UnsupportedFormat,
)

__all__ = [
    "CheckpointDamaged",
    "CheckpointError",
    "CheckpointMismatch",
    "CheckpointNotFound",
    "DamagedImage",
    "EmptyImage",
    "EmptyText",
    "ImageError",
    "ImageTooLarge",
    "LabelError",
    "ModelError",
    "NonFiniteLoss",
    "PairsError",
    "TextError",
    "TextTooLong",
    "TrainingError",
    "UnsupportedFormat",
]
