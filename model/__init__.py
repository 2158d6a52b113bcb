"""The layer that understands: pictures and texts in, embeddings in one shared space out.

Other layers import from here only.
"""

from model.checkpoints import convert_checkpoint, is_foreign
from model.copies import cropped_copy, smaller_copy
from model.durable_files import replace_durably, sync, write_durably
from model.embedding_queue import EmbeddedText, EmbeddingQueue
from model.encoder import (
    SHIPPED_MODELS,
    Encoder,
    TextEmbeddings,
    checkpoint_path,
    load_encoder,
    set_threads,
)
from model.errors import (
    CheckpointDamaged,
    CheckpointError,
    CheckpointMismatch,
    CheckpointNotFound,
    CheckpointUnsupported,
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
from model.fingerprints import (
    HASH_BITS,
    as_words,
    differing_bits,
    is_plain,
    perceptual_hash,
)
from model.image_formats import MEDIA_TYPES, SNIFF_BYTES, sniff
from model.images import ImageLimits, Picture, decode
from model.thumbnails import thumbnail
from model.training.compact import train_compact
from model.training.comparison import ComparedPhotos, Comparison, compare
from model.training.features import UnreadablePhoto
from model.training.fine_tuning import fine_tune
from model.training.fine_tuning_settings import (
    FineTuned,
    FineTuneProgress,
    FineTuneSettings,
    TrainedParts,
)
from model.training.gate import AllowedFalls, Check
from model.training.measures import Measures, Verdict
from model.training.pairs import CaptionedPhoto, read_split
from model.training.settings import CompactSettings, Trained, TrainingProgress
from model.zero_shot import PROMPT_TEMPLATES, Prediction, classify

__all__ = [
    "HASH_BITS",
    "MEDIA_TYPES",
    "PROMPT_TEMPLATES",
    "SHIPPED_MODELS",
    "SNIFF_BYTES",
    "AllowedFalls",
    "CaptionedPhoto",
    "Check",
    "CheckpointDamaged",
    "CheckpointError",
    "CheckpointMismatch",
    "CheckpointNotFound",
    "CheckpointUnsupported",
    "CompactSettings",
    "ComparedPhotos",
    "Comparison",
    "DamagedImage",
    "EmbeddedText",
    "EmbeddingQueue",
    "EmptyImage",
    "EmptyText",
    "Encoder",
    "FineTuneProgress",
    "FineTuneSettings",
    "FineTuned",
    "ImageError",
    "ImageLimits",
    "ImageTooLarge",
    "LabelError",
    "Measures",
    "ModelError",
    "NonFiniteLoss",
    "PairsError",
    "Picture",
    "Prediction",
    "QueueFull",
    "TextEmbeddings",
    "TextError",
    "TextTooLong",
    "Trained",
    "TrainedParts",
    "TrainingError",
    "TrainingProgress",
    "UnreadablePhoto",
    "UnsupportedFormat",
    "Verdict",
    "as_words",
    "checkpoint_path",
    "classify",
    "compare",
    "convert_checkpoint",
    "cropped_copy",
    "decode",
    "differing_bits",
    "fine_tune",
    "is_foreign",
    "is_plain",
    "load_encoder",
    "perceptual_hash",
    "read_split",
    "replace_durably",
    "set_threads",
    "smaller_copy",
    "sniff",
    "sync",
    "thumbnail",
    "train_compact",
    "write_durably",
]
