"""Which images and texts of a set of pairs belong together, and whether the texts are labels.

Shape letters: P photos, M distinct texts, C labels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.prompts import PROMPT_TEMPLATES
from model.training.pairs import CaptionedPhoto
from model.training.sampling import joint_groups

# A text is a name when it is this short and belongs to several photos.
_NAME_WORDS = 4
_NAME_PHOTOS = 2
# Texts count as labels when each of them has on average at least this many photos.
_PHOTOS_A_LABEL = 2


@dataclass(frozen=True, slots=True)
class Pairing:
    """`texts` are the M distinct texts, `rows` has those of each of the P photos."""

    texts: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    def owners(self) -> list[list[int]]:
        """The photos of each text."""
        owners: list[list[int]] = [[] for _ in self.texts]
        for photo, own in enumerate(self.rows):
            for text in own:
                owners[text].append(photo)
        return owners

    def labels(self) -> tuple[list[list[int]], NDArray[np.int64]] | None:
        """The text rows of each of C labels, and (P,) the label of each photo.

        A label is all texts of photos that share texts, such as the prompts made of one word.
        None where the texts are no labels: nearly every photo has texts of its own.
        """
        owners = [photo for photo, own in enumerate(self.rows) for _ in own]
        rows = [text for own in self.rows for text in own]
        photo_groups, row_groups = joint_groups(len(self.rows), owners, rows)
        label_of = {
            group: place for place, group in enumerate(dict.fromkeys(photo_groups.tolist()))
        }
        if len(label_of) < 2 or len(self.rows) < _PHOTOS_A_LABEL * len(label_of):
            return None
        texts: list[list[int]] = [[] for _ in label_of]
        for group, row in dict.fromkeys(zip(row_groups.tolist(), rows, strict=True)):
            texts[label_of[group]].append(row)
        return texts, np.array([label_of[group] for group in photo_groups.tolist()])


def pair_up(photos: Sequence[CaptionedPhoto]) -> Pairing:
    """The pairing of these photos; every photo has at least one text."""
    row_of: dict[str, int] = {}
    rows = tuple(
        tuple(dict.fromkeys(row_of.setdefault(text, len(row_of)) for text in photo.captions))
        for photo in photos
    )
    return Pairing(tuple(row_of), rows)


def with_prompts(photos: Sequence[CaptionedPhoto]) -> list[CaptionedPhoto]:
    """The photos with each name among their texts in several prompts too.

    A name is a short text of several photos, such as a label: taught alone, it would be found by
    its bare word only.
    """
    counts = Counter(text for photo in photos for text in set(photo.captions))
    prompts = {
        text: [text, *(template.replace("{label}", text) for template in PROMPT_TEMPLATES)]
        for text, count in counts.items()
        if count >= _NAME_PHOTOS and len(text.split()) <= _NAME_WORDS
    }
    return [
        CaptionedPhoto(
            photo.path,
            tuple(
                dict.fromkeys(
                    prompt for text in photo.captions for prompt in prompts.get(text, [text])
                )
            ),
        )
        for photo in photos
    ]
