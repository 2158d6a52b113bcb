"""The tokenizer in a folder of the library `transformers`, with how it pads."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import normalizers

from model.checkpoints.folders import read_json, read_tokenizer
from model.errors import CheckpointDamaged
from model.tokenizers import Padding, TokenizerSettings

_SETTINGS = "tokenizer_config.json"
# Tokenizers without a limit claim to take 10^30 tokens.
_NO_LIMIT = 1_000_000


def read_padded_tokenizer(
    folder: Path, padding: Padding, *, is_siglip: bool
) -> tuple[TokenizerSettings, int | None]:
    """The tokenizer, padding as told, and the id it pads with if the folder says so.

    Raises CheckpointDamaged where there is none that the library `tokenizers` reads.
    """
    found = read_tokenizer(folder)
    if found is None:
        raise CheckpointDamaged(
            folder, "tokenizer.json, which transformers' fast tokenizers write", "no such file"
        )
    told = _settings(folder)
    library = LibraryTokenizer.from_str(found.definition)
    # SigLIP 2 learnt lower case, which its folders leave to the class or to whoever asks.
    if is_siglip and str(told.get("tokenizer_class")).startswith(("Siglip2", "Gemma")):
        own = [library.normalizer] if library.normalizer is not None else []
        library.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
        found = replace(found, definition=library.to_str())
    return replace(found, padding=padding), _pad_id(library, found, told)


def longest_text(folder: Path) -> int:
    """The most tokens that the tokenizer gives, start and end token included."""
    limit = _settings(folder).get("model_max_length")
    return limit if type(limit) is int and 0 < limit < _NO_LIMIT else _NO_LIMIT


def _settings(folder: Path) -> Mapping[str, Any]:
    path = folder / _SETTINGS
    return read_json(path) if path.is_file() else {}


def _pad_id(
    library: LibraryTokenizer, found: TokenizerSettings, told: Mapping[str, Any]
) -> int | None:
    token = told.get("pad_token")
    content = token.get("content") if isinstance(token, dict) else token
    if isinstance(content, str) and (known := library.token_to_id(content)) is not None:
        return known
    padding = json.loads(found.definition).get("padding")
    known = padding.get("pad_id") if isinstance(padding, dict) else None
    return known if type(known) is int and known >= 0 else None
