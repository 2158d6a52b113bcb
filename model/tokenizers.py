"""Text to token ids, cut to the context length at a token boundary.

Shape letters: N texts, L positions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer as LibraryTokenizer
from torch import Tensor

from model.errors import EmptyText, TextTooLong

MAXIMUM_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text as token ids, start and end token included."""

    ids: tuple[int, ...]
    was_truncated: bool


class Tokenizer:
    """The tokenizer that belongs to a text tower; safe to use from several threads at once."""

    def __init__(self, definition: str, context_length: int) -> None:
        """`definition` is the JSON text of the `tokenizers` library; ValueError for anything else.

        Padding and truncation settings in it are dropped: the encoder owns both.
        """
        try:
            tokenizer = LibraryTokenizer.from_str(definition)
        except Exception as error:  # The library raises bare Exception for any malformed text.
            raise ValueError(f"no tokenizer definition: {error}") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.definition = definition
        self.context_length = context_length
        self._tokenizer = tokenizer

    def __call__(self, texts: Iterable[str]) -> list[Tokens]:
        """Tokens of each text, at most `context_length` of them; a cut text keeps its end token.

        Raises EmptyText for a text without a visible character, TextTooLong over
        `MAXIMUM_CHARACTERS`.
        """
        checked = [_checked(text) for text in texts]
        tokens = []
        for encoding in self._tokenizer.encode_batch(checked):
            ids = encoding.ids
            is_over = len(ids) > self.context_length
            if is_over:
                ids = [*ids[: self.context_length - 1], ids[-1]]
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


def _checked(text: str) -> str:
    if len(text) > MAXIMUM_CHARACTERS:
        raise TextTooLong(len(text), MAXIMUM_CHARACTERS)
    # A lone surrogate is no character and cannot cross into the library, which takes UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise EmptyText
    return text
