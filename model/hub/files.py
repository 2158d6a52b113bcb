"""Which files of a repository make a model, and no others."""

import re
from collections.abc import Collection

from model.checkpoints.weights import WEIGHT_SUFFIXES

# In the order of preference: what configures the weights, and the weights. Safetensors come before
# anything pickled, OpenCLIP's own configuration before the one that transformers reads.
_KINDS = (
    ("open_clip_config.json", "open_clip_model.safetensors"),
    ("open_clip_config.json", "open_clip_pytorch_model.safetensors"),
    ("config.json", "model.safetensors"),
    ("open_clip_config.json", "open_clip_pytorch_model.bin"),
    ("config.json", "pytorch_model.bin"),
)
_PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json")
# The first of these that is there is the tokenizer itself.
_VOCABULARIES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",))

WEIGHTS_EXPECTED = " or ".join(dict.fromkeys(weights for _, weights in _KINDS))


def candidate_files() -> list[str]:
    """Files of which a fetched model has at least one, for whoever cannot ask what there is."""
    return list(dict.fromkeys(name for kind in _KINDS for name in kind))


def missing_files(names: Collection[str]) -> tuple[str, ...]:
    """What these files lack to be a model, in words where one of several would do."""
    configs = {config for config, _ in _KINDS}
    there = configs & set(names)
    weights = dict.fromkeys(weights for config, weights in _KINDS if config in (there or configs))
    missing = (" or ".join(weights),)
    return missing if there else (" or ".join(sorted(configs)), *missing)


def needed_files(names: Collection[str]) -> list[str]:
    """The files to fetch out of those of a repository, the weights last; none where it has none.

    With every other file before them, weights that are there tell that the model is whole. A
    repository that is no model's folder may hold one file of weights.
    """
    for config, weights in _KINDS:
        if config not in names:
            continue
        if weights in names:
            return [*_beside(names), config, weights]
        if parts := _parts(weights, names):
            return [*_beside(names), config, f"{weights}.index.json", *parts]
    for suffix in WEIGHT_SUFFIXES:
        alone = [name for name in names if name.endswith(suffix) and "/" not in name]
        if alone:
            return alone if len(alone) == 1 and "-of-" not in alone[0] else []
    return []


def _beside(names: Collection[str]) -> list[str]:
    vocabulary = next((files for files in _VOCABULARIES if set(files) <= set(names)), ())
    return [name for name in (*_PREPROCESSING, *_TOKENIZER, *vocabulary) if name in names]


def _parts(weights: str, names: Collection[str]) -> list[str]:
    stem, _, suffix = weights.rpartition(".")
    part = re.compile(rf"{re.escape(stem)}-\d{{5}}-of-(\d{{5}})\.{suffix}")
    parts = sorted(name for name in names if part.fullmatch(name))
    is_whole = bool(parts) and len(parts) == int(parts[0].rpartition("-of-")[2].split(".")[0])
    return parts if is_whole and f"{weights}.index.json" in names else []
