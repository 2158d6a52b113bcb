"""CLIP's byte-pair encoding: merges of the bytes of lower-case words.

Source: Radford et al., 2021, section 2.4, and `clip/simple_tokenizer.py` of OpenAI's repository,
whose merges `vocabularies/clip_merges.txt.gz` holds.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from model.tokenizers import TokenizerSettings

START_TOKEN = "<|startoftext|>"  # noqa: S105 - no password
END_TOKEN = "<|endoftext|>"  # noqa: S105 - no password
END_OF_WORD = "</w>"

# Endings of English contractions, words, single digits, and runs of all else but blanks. OpenAI's
# expression ignores case, by which it passes over the mark U+0345, whose capital is a letter.
_PIECE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"

# Bytes that are no printable character of Latin-1 are written as characters from this one on.
_FIRST_STAND_IN = 256


@cache
def clip_tokenizer() -> TokenizerSettings:
    """The tokenizer of the paper's models: 49,408 tokens, the last two of them start and end."""
    packed = (files("model") / "vocabularies" / "clip_merges.txt.gz").read_bytes()
    merges = [_pair(line) for line in gzip.decompress(packed).decode().splitlines()]
    single = _byte_characters()
    tokens = [
        *single,
        *(character + END_OF_WORD for character in single),
        *(first + second for first, second in merges),
        START_TOKEN,
        END_TOKEN,
    ]
    return byte_pair_tokenizer({token: place for place, token in enumerate(tokens)}, merges)


def adopt_tokenizer(definition: str) -> TokenizerSettings:
    """A definition of the `tokenizers` library as it is, or as OpenAI's where it is CLIP's.

    What the library's own port of CLIP leaves out of the cleaning is done then. One with tokens
    added to CLIP's stays as it is, since these must be found in texts.

    Raises ValueError for a text that is none.
    """
    try:
        Tokenizer.from_str(definition)
    except Exception as error:  # The library raises bare Exception.
        raise ValueError(f"no tokenizer definition: {error}") from error
    values = json.loads(definition)
    model = values["model"]
    added = {token["content"] for token in values.get("added_tokens") or ()}
    is_clip = (
        model.get("end_of_word_suffix") == END_OF_WORD
        and {START_TOKEN, END_TOKEN} <= model["vocab"].keys()
        and added <= {START_TOKEN, END_TOKEN}
    )
    if not is_clip:
        return TokenizerSettings(definition)
    # Older files write a merge as a line, newer ones as a pair.
    merges = [_pair(one) if isinstance(one, str) else (one[0], one[1]) for one in model["merges"]]
    return byte_pair_tokenizer(model["vocab"], merges)


def byte_pair_tokenizer(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]
) -> TokenizerSettings:
    """CLIP's tokenizer with this vocabulary.

    The control tokens are no part of the language: in a text their names are read as any others,
    so that no text ends early.

    Raises ValueError when a control token, or a token that a merge names, is missing.
    """
    for token in (START_TOKEN, END_TOKEN):
        if token not in vocabulary:
            raise ValueError(f"the vocabulary lacks the token {token}")
    try:
        model = models.BPE(dict(vocabulary), list(merges), end_of_word_suffix=END_OF_WORD)
    except Exception as error:  # The library raises bare Exception.
        raise ValueError(f"the merges do not fit the vocabulary: {error}") from error
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECE), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START_TOKEN} $A {END_TOKEN}",
        special_tokens=[(token, vocabulary[token]) for token in (START_TOKEN, END_TOKEN)],
    )
    return TokenizerSettings(tokenizer.to_str(), cleaning="clip")


def _pair(line: str) -> tuple[str, str]:
    first, second = line.split(" ")
    return first, second


def _byte_characters() -> list[str]:
    """A visible character for each byte, in the order in which the vocabulary starts."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 256 - len(printable)
    return [chr(code) for code in (*printable, *range(_FIRST_STAND_IN, _FIRST_STAND_IN + others))]
