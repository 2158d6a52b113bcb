"""Folders of the library `transformers` with random models, small enough to build in a test."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = ("a red car", "a dog on the beach", "A photo of a cat.", "Wow! The dog, the car")

_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_IMAGE = {**_TOWER, "image_size": 32, "patch_size": 16, "projection_dim": 16}
_TEXT = {
    **_TOWER,
    "vocab_size": 60,
    "max_position_embeddings": 16,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "siglip": {"text_config": {**_TEXT, "projection_size": 32}, "vision_config": _IMAGE},
    "altclip": {
        "projection_dim": 16,
        "text_config": {**_TEXT, "max_position_embeddings": 18, "project_dim": 16},
        "vision_config": _IMAGE,
    },
    "aimv2": {"projection_dim": 16, "text_config": _TEXT, "vision_config": _IMAGE},
    "chinese_clip": {
        "projection_dim": 16,
        "text_config": {**_TEXT, "pad_token_id": 0},
        "vision_config": _IMAGE,
    },
    "metaclip_2": {
        "projection_dim": 16,
        "text_config": {**_TEXT, "projection_dim": 16},
        "vision_config": _IMAGE,
    },
}
# The processors that released models of each kind name.
_PROCESSORS = {"siglip": "SiglipImageProcessor", "chinese_clip": "ChineseCLIPImageProcessor"}
_PREPROCESSING = {
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": 32, "width": 32},
    "crop_size": {"height": 32, "width": 32},
}


def write(folder: Path, kind: str = "siglip", **settings: str) -> Any:
    """Write a model's folder and give the model; `settings` go to the tokenizer's file."""
    torch.manual_seed(6)
    config = transformers.CONFIG_MAPPING[kind].from_dict({"model_type": kind, **CONFIGS[kind]})
    model = transformers.AutoModel.from_config(config).eval()
    with torch.no_grad():
        # Beginnings so small leave all pictures and all texts alike.
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    pad_token = "<pad>" if CONFIGS[kind]["text_config"]["pad_token_id"] == 0 else "</s>"
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": pad_token,
        "eos_token": "</s>",
        "model_max_length": 16,
        **settings,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    processor = _PROCESSORS.get(kind, "CLIPImageProcessor")
    prepared = {"image_processor_type": processor, **_PREPROCESSING}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return model


def tokenizer() -> Tokenizer:
    """Pieces like those of sentencepiece, learnt from `TEXTS`; every text ends with `</s>`."""
    learnt = Tokenizer(models.Unigram())
    learnt.normalizer = normalizers.NFKC()
    learnt.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"
    )
    learnt.train_from_iterator(TEXTS, trainer)
    learnt.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return learnt
