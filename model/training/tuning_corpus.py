"""All that a fine-tune learns from and is measured on, as features of the frozen towers.

Shape letters: P photos, F and W widths of the towers' features, E embedding width.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.dual_encoder import DualEncoder
from model.errors import TrainingError
from model.tokenizers import Tokenizer
from model.training.features import PhotoFeatures, PhotoReader, UnreadablePhoto, read_photo_features
from model.training.fine_tuning_settings import FineTuneSettings
from model.training.holding import general_queries
from model.training.pairing import Pairing, pair_up, with_prompts
from model.training.pairs import CaptionedPhoto
from model.training.processes import Processes
from model.training.texts import TextBank, read_texts

# Fewer photos give no batch in which anything could be told from anything else.
LEAST_PHOTOS = 2


@dataclass(frozen=True, slots=True, eq=False)
class PhotoSet:
    """Photos with texts: `features` (P, F), `rows` the places of `pairing.texts` in the bank."""

    photos: tuple[CaptionedPhoto, ...]
    features: Tensor
    pairing: Pairing
    rows: Tensor

    def bank_rows(self) -> list[list[int]]:
        """The places in the bank of each photo's texts."""
        rows: list[int] = self.rows.tolist()
        return [[rows[text] for text in own] for own in self.pairing.rows]


@dataclass(frozen=True, slots=True, eq=False)
class TuningCorpus:
    """The sets of photos, every text once in `texts`, and the `queries`' places in it.

    `general_train` and `general_held` are the two halves of the general pairs. `anchors` are the
    start's embeddings: of the training photos (P, E) and of every text in the bank.
    """

    train: PhotoSet
    validation: PhotoSet | None
    general_train: PhotoSet | None
    general_held: PhotoSet | None
    texts: TextBank
    queries: Tensor
    photo_anchors: Tensor
    text_anchors: Tensor
    data_sha256: str
    unreadable: tuple[UnreadablePhoto, ...]


def read_corpus(
    settings: FineTuneSettings,
    model: DualEncoder,
    towers: DualEncoder,
    tokenizer: Tokenizer,
    reader: PhotoReader,
    *,
    identity: str,
    processes: Processes,
    progress: Callable[[str, int, int], None],
) -> TuningCorpus:
    """The corpus; `towers` are a serving copy of the start, `model` has its heads.

    Photos that can't be read are left out and named. Raises TrainingError when too few are left,
    TextError for a text that has nothing to read or far too much.
    """
    sets = {
        "train": with_prompts(settings.train),
        "validation": list(settings.validation),
        "general_train": list(settings.general[::2]),
        "general_held": list(settings.general[1::2]),
    }
    everything = [photo for photos in sets.values() for photo in photos]
    found = read_photo_features(
        [photo.path for photo in everything],
        towers.image_tower,
        reader,
        identity=identity,
        folder=settings.run_folder / "features",
        progress=lambda done, total: progress("photos", done, total),
        processes=processes,
    )
    queries = general_queries()
    texts = read_texts(
        [*(text for photo in everything for text in photo.captions), *queries],
        tokenizer,
        towers.text_tower,
        lambda done, total: progress("texts", done, total),
    )
    made = dict(zip(sets, _sets(list(sets.values()), found, texts), strict=True))
    train = made["train"]
    if train is None or len(train.photos) < LEAST_PHOTOS:
        raise TrainingError(
            f"Fewer than {LEAST_PHOTOS} training photos can be read; there is nothing to learn."
        )
    if len(train.pairing.texts) < 2:
        raise TrainingError(
            "All training photos have one and the same text; there is nothing to learn."
        )
    return TuningCorpus(
        train=train,
        validation=made["validation"],
        general_train=made["general_train"],
        general_held=made["general_held"],
        texts=texts,
        queries=torch.tensor(texts.rows_of(queries)),
        photo_anchors=embedded(model.image_projection, train.features),
        text_anchors=embedded(model.text_projection, texts.features),
        data_sha256=_digest(everything, found),
        unreadable=found.unreadable,
    )


@torch.no_grad()
def embedded(head: nn.Module, features: Tensor) -> Tensor:
    """(N, E) unit rows of (N, F) features."""
    return F.normalize(head(features), dim=-1)


def _sets(
    sets: Sequence[Sequence[CaptionedPhoto]], found: PhotoFeatures, texts: TextBank
) -> list[PhotoSet | None]:
    row_of = {place: row for row, place in enumerate(found.readable.tolist())}
    made: list[PhotoSet | None] = []
    start = 0
    for photos in sets:
        places = [place for place in range(start, start + len(photos)) if place in row_of]
        kept = tuple(photos[place - start] for place in places)
        start += len(photos)
        if not kept:
            made.append(None)
            continue
        pairing = pair_up(kept)
        made.append(
            PhotoSet(
                kept,
                found.features[[row_of[place] for place in places]],
                pairing,
                torch.tensor(texts.rows_of(pairing.texts)),
            )
        )
    return made


def _digest(photos: Sequence[CaptionedPhoto], found: PhotoFeatures) -> str:
    readable = found.readable.tolist()
    entries = sorted(
        (digest, *photos[place].captions)
        for digest, place in zip(found.digests, readable, strict=True)
    )
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()
