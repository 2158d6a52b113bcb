"""Every text of a run, tokenized once, with the frozen text tower's features of it.

Shape letters: M texts, L positions, W width of a text feature.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from model.tokenizers import Tokenizer, Tokens, pad

_BATCH = 64


@dataclass(frozen=True, slots=True, eq=False)
class TextBank:
    """Distinct texts by row; `features` (M, W) float32 are those of the frozen tower."""

    rows: dict[str, int]
    tokens: list[Tokens]
    features: Tensor

    def rows_of(self, texts: Iterable[str]) -> list[int]:
        """The row of each text; KeyError for one that is not in the bank."""
        return [self.rows[text] for text in texts]


def read_texts(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    tower: nn.Module,
    progress: Callable[[int, int], None],
) -> TextBank:
    """The bank of these texts, each once; `progress` hears (done, total)."""
    distinct = list(dict.fromkeys(texts))
    tokens = tokenizer(distinct)
    rows: list[Tensor] = [torch.empty(0)] * len(distinct)
    order = sorted(range(len(tokens)), key=lambda row: len(tokens[row].ids))
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            embedded = tower(*pad([tokens[row] for row in batch])).float()
            for row, feature in zip(batch, embedded, strict=True):
                rows[row] = feature
            progress(start + len(batch), len(order))
    return TextBank({text: row for row, text in enumerate(distinct)}, tokens, torch.stack(rows))


def text_chunks(
    tower: nn.Module, tokens: Sequence[Tokens], size: int
) -> tuple[list[Callable[[], Tensor]], Tensor]:
    """Chunks of texts of like length for `tower`, and where each given text went, (M,) indices.

    The features of the chunks together, taken at these indices, are in the order given.
    """
    order = sorted(range(len(tokens)), key=lambda row: len(tokens[row].ids))
    chunks: list[Callable[[], Tensor]] = []
    for start in range(0, len(order), size):
        ids, is_token = pad([tokens[row] for row in order[start : start + size]])

        chunks.append(partial(tower, ids, is_token))
    places = torch.empty(len(order), dtype=torch.long)
    places[order] = torch.arange(len(order))
    return chunks, places
