"""A model of the compact architecture, random and small enough to build in a test."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from model.checkpoints import Checkpoint, write_checkpoint
from model.preprocessing import Preprocessing
from model.tokenizers import TokenizerSettings
from model.towers.attention_pooling import AttentionPoolConfig
from model.towers.bert import BertConfig
from model.towers.efficientnet_lite import EfficientNetLiteConfig, StageConfig
from model.zoo import CompactArchitecture

WORDS = ("a", "red", "car", "dog", "on", "the", "beach", "photo", "of", "cat", "wow", "!", ".")

ARCHITECTURE = CompactArchitecture(
    image=EfficientNetLiteConfig(
        stem_width=8,
        stages=(
            StageConfig(blocks=1, kernel=3, stride=1, expansion=1, width=8),
            StageConfig(blocks=2, kernel=5, stride=2, expansion=2, width=16),
        ),
        features=32,
        attention=AttentionPoolConfig(heads=2, head_width=4, side=8),
        early_attention=AttentionPoolConfig(heads=2, head_width=4, side=8),
        early_blocks=2,
    ),
    text=BertConfig(
        vocabulary=5 + len(WORDS), positions=12, width=16, layers=2, heads=2, inner_width=24
    ),
    image_inner_width=24,
    text_inner_width=24,
    embedding_width=16,
    bank_texts=8,
)

PREPROCESSING = Preprocessing(
    image_size=32, fit="crop", mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5)
)


def tokenizer_settings() -> TokenizerSettings:
    """A word-piece tokenizer that knows `WORDS`."""
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    vocabulary = {token: index for index, token in enumerate((*specials, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return TokenizerSettings(tokenizer.to_str())


def checkpoint(seed: int = 0, precision: torch.dtype = torch.float32) -> Checkpoint:
    """A checkpoint whose weights are random, batch-norm statistics and all."""
    torch.manual_seed(seed)
    model = ARCHITECTURE.build()
    state = {
        name: torch.rand_like(tensor) + 0.5 if name.endswith("running_var") else tensor
        for name, tensor in model.state_dict().items()
    }
    for name in ("image_projection.outer.weight", "text_projection.outer.weight"):
        state[name] = torch.randn_like(state[name]) * 0.1
    stored = {
        name: tensor.to(precision) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }
    return Checkpoint("tiny", ARCHITECTURE, PREPROCESSING, tokenizer_settings(), stored)


def write(path: Path, seed: int = 0) -> str:
    """Write the checkpoint in half precision, as models ship, and give its fingerprint."""
    return write_checkpoint(checkpoint(seed, torch.float16), path)
