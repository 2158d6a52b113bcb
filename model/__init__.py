"""The layer that understands: pictures and texts in, embeddings in one shared space out.

Other layers import from here only.
"""

from model.checkpoints import convert_checkpoint, is_foreign
from model.classification import Classified, Classifier, Prediction, Threshold, classify
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
    HubAccessDenied,
    HubCacheUnusable,
    HubError,
    HubInterrupted,
    HubModelNotFound,
    HubModelUnusable,
    HubStorageFull,
    HubUnreachable,
    ImageError,
    ImageTooLarge,
    LabelError,
    ModelError,
    NonFiniteLoss,
    PairsError,
    ProbeDamaged,
    QueueFull,
    TextError,
    TextOverContext,
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
from model.hub import HubName, fetch, hub_name
from model.image_formats import MEDIA_TYPES, SNIFF_BYTES, sniff
from model.images import ImageLimits, Picture, decode
from model.linear_probe import LinearProbe
from model.probe_training import (
    PROBE_LABELS_ALLOWED,
    ProbeExamples,
    TrainedProbe,
    check_probe_training_installed,
    draw_shots,
    train_probe,
)
from model.prompts import (
    BARE_TEMPLATE,
    PROMPT_TEMPLATES,
    TEMPLATE_SETS,
    check_labels,
    label_key,
    prompts_of,
    templates_of,
)
from model.remembered_labels import RememberedLabels
from model.serving import Precision, set_precision
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
from model.training.holding import general_queries
from model.training.measures import Measures, Verdict
from model.training.pairs import CaptionedPhoto, read_split
from model.training.settings import CompactSettings, Trained, TrainingProgress
from model.zero_shot import ZeroShotClassifier, label_embeddings

__all__ = [
    "BARE_TEMPLATE",
    "HASH_BITS",
    "MEDIA_TYPES",
    "PROBE_LABELS_ALLOWED",
    "PROMPT_TEMPLATES",
    "SHIPPED_MODELS",
    "SNIFF_BYTES",
    "TEMPLATE_SETS",
    "AllowedFalls",
    "CaptionedPhoto",
    "Check",
    "CheckpointDamaged",
    "CheckpointError",
    "CheckpointMismatch",
    "CheckpointNotFound",
    "CheckpointUnsupported",
    "Classified",
    "Classifier",
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
    "HubAccessDenied",
    "HubCacheUnusable",
    "HubError",
    "HubInterrupted",
    "HubModelNotFound",
    "HubModelUnusable",
    "HubName",
    "HubStorageFull",
    "HubUnreachable",
    "ImageError",
    "ImageLimits",
    "ImageTooLarge",
    "LabelError",
    "LinearProbe",
    "Measures",
    "ModelError",
    "NonFiniteLoss",
    "PairsError",
    "Picture",
    "Precision",
    "Prediction",
    "ProbeDamaged",
    "ProbeExamples",
    "QueueFull",
    "RememberedLabels",
    "TextEmbeddings",
    "TextError",
    "TextOverContext",
    "TextTooLong",
    "Threshold",
    "Trained",
    "TrainedParts",
    "TrainedProbe",
    "TrainingError",
    "TrainingProgress",
    "UnreadablePhoto",
    "UnsupportedFormat",
    "Verdict",
    "ZeroShotClassifier",
    "as_words",
    "check_labels",
    "check_probe_training_installed",
    "checkpoint_path",
    "classify",
    "compare",
    "convert_checkpoint",
    "cropped_copy",
    "decode",
    "differing_bits",
    "draw_shots",
    "fetch",
    "fine_tune",
    "general_queries",
    "hub_name",
    "is_foreign",
    "is_plain",
    "label_embeddings",
    "label_key",
    "load_encoder",
    "perceptual_hash",
    "prompts_of",
    "read_split",
    "replace_durably",
    "set_precision",
    "set_threads",
    "smaller_copy",
    "sniff",
    "sync",
    "templates_of",
    "thumbnail",
    "train_compact",
    "train_probe",
    "write_durably",
]
