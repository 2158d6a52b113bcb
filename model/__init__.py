"""The layer that understands: pictures and texts in, embeddings in one shared space out.

Other layers import from here only.
"""

from model.embedding_queue import EmbeddedText, EmbeddingQueue
from model.encoder import Encoder, TextEmbeddings, load_encoder, set_threads
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
    QueueFull,
    TextError,
    TextTooLong,
    TrainingError,
    UnsupportedFormat,
)
from model.images import ImageLimits, Picture, decode
from model.thumbnails import thumbnail
from model.zero_shot import PROMPT_TEMPLATES, Prediction, classify

__all__ = [
    "PROMPT_TEMPLATES",
    "CheckpointDamaged",
    "CheckpointError",
    "CheckpointMismatch",
    "CheckpointNotFound",
    "DamagedImage",
    "EmbeddedText",
    "EmbeddingQueue",
    "EmptyImage",
    "EmptyText",
    "Encoder",
    "ImageError",
    "ImageLimits",
    "ImageTooLarge",
    "LabelError",
    "ModelError",
    "NonFiniteLoss",
    "PairsError",
    "Picture",
    "Prediction",
    "QueueFull",
    "TextEmbeddings",
    "TextError",
    "TextTooLong",
    "TrainingError",
    "UnsupportedFormat",
    "classify",
    "decode",
    "load_encoder",
    "set_threads",
    "thumbnail",
]
