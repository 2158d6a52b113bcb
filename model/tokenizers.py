"""Text to token ids, cut to the context length at a token boundary.

Shape letters: N texts, L positions.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Self, get_args

import torch
from tokenizers import Tokenizer as LibraryTokenizer
from torch import Tensor

from model.errors import EmptyText, TextTooLong
from model.text_cleaning import Cleaning, clean

MAXIMUM_CHARACTERS = 10_000

Padding = Literal["longest", "full"]


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """How a text becomes token ids; it travels with the weights and is never guessed.

    `definition` is the JSON text of the `tokenizers` library, which sees a text after `cleaning`;
    padding and truncation settings in it are dropped, since the encoder owns both. `padding` is
    "full" for towers that also attend to padding and were trained on texts filled up with `pad_id`
    to the context length, "longest" for all that pass it over.
    """

    definition: str
    cleaning: Cleaning = "none"
    padding: Padding = "longest"
    pad_id: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("cleaning", self.cleaning, get_args(Cleaning)),
            ("padding", self.padding, get_args(Padding)),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r} is none of {', '.join(known)}")

    def to_json(self) -> str:
        """The text for a checkpoint's header: the definition alone where nothing else is told."""
        is_plain = self == TokenizerSettings(self.definition)
        return self.definition if is_plain else json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`. Raises TypeError or ValueError for anything else."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise TypeError("the tokenizer is no JSON object")
        return cls(**values) if "definition" in values else cls(text)


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text as token ids, start and end token included."""

    ids: tuple[int, ...]
    was_truncated: bool


class Tokenizer:
    """The tokenizer that belongs to a text tower; safe to use from several threads at once."""

    def __init__(self, settings: TokenizerSettings, context_length: int) -> None:
        """Raises ValueError when the definition is none that the library reads."""
        try:
            tokenizer = LibraryTokenizer.from_str(settings.definition)
        except Exception as error:  # The library raises bare Exception for any malformed text.
            raise ValueError(f"no tokenizer definition: {error}") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        # Start and end come from the template alone: no text may end itself early.
        tokenizer.encode_special_tokens = True
        self.settings = settings
        self.context_length = context_length
        self._tokenizer = tokenizer

    def __call__(self, texts: Iterable[str]) -> list[Tokens]:
        """Tokens of each text, at most `context_length` of them; a cut text keeps its end token.

        Raises EmptyText for a text without a visible character, TextTooLong over
        `MAXIMUM_CHARACTERS`.
        """
        checked = [_checked(text, self.settings.cleaning) for text in texts]
        tokens = []
        for encoding in self._tokenizer.encode_batch(checked):
            ids = encoding.ids
            is_over = len(ids) > self.context_length
            if is_over:
                end = _special_tokens_at_end(encoding.special_tokens_mask)
                ids = [*ids[: self.context_length - end], *ids[len(ids) - end :]]
            elif self.settings.padding == "full":
                ids = [*ids, *[self.settings.pad_id] * (self.context_length - len(ids))]
            tokens.append(Tokens(tuple(ids), is_over))
        return tokens


def pad(tokens: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """(N, L) int64 ids and (N, L) booleans, false at padding; L is the longest text's length."""
    length = max(len(one.ids) for one in tokens)
    ids = torch.zeros(len(tokens), length, dtype=torch.long)
    is_token = torch.zeros(len(tokens), length, dtype=torch.bool)
    for row, one in enumerate(tokens):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
        is_token[row, : len(one.ids)] = True
    return ids, is_token


def _special_tokens_at_end(mask: Sequence[int]) -> int:
    return next((count for count, is_special in enumerate(reversed(mask)) if not is_special), 0)


def _checked(text: str, cleaning: Cleaning) -> str:
    if len(text) > MAXIMUM_CHARACTERS:
        raise TextTooLong(len(text), MAXIMUM_CHARACTERS)
    # A lone surrogate is no character and cannot cross into the library, which takes UTF-8.
    text = clean(text.encode("utf-8", "replace").decode("utf-8"), cleaning)
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise EmptyText
    return text
