"""Which images are trained on and which are kept to measure by.

The side of an image is fixed when its first pair arrives and stays when pairs are added: it follows
from the image's SHA-256, unless the library already has pairs of a picture that looks alike; then
it is on that one's side, for a model is not to be measured on what it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from index.store import images, pairs, picture_hashes
from index.store.pairs import Placed, Side
from model import as_words, differing_bits, is_plain

VALIDATION_SHARE = 0.15
# Of 256 bits. Measured: copies in other sizes and formats differ in at most 40, different product
# photos on white in at least 60. A chance neighbour costs nothing here but the choice of side.
NEAR_BITS = 48


def side_of(sha256: str) -> Side:
    """The side of an image that looks like no other."""
    return "validation" if int(sha256[:8], 16) < VALIDATION_SHARE * 16**8 else "train"


def place(session: Session, numbers: Sequence[int]) -> None:
    """Give a side to those of the stored images that have none.

    Call it under the change log's lock: two pictures that look alike and arrive at once must see
    each other. Images without a fingerprint, and plain ones, look like no other.
    """
    fresh = pairs.unplaced(session, numbers)
    if not fresh:
        return
    known = {one.image_number: one for one in pairs.placed(session)}
    records = images.by_number(session, fresh)
    looks = _Looks(picture_hashes.get_many(session, [*known, *fresh]), known)
    for number in fresh:
        groups = sorted({known[other].group for other in looks.near(number)})
        if not groups:
            known[number] = Placed(number, number, side_of(records[number].sha256))
            continue
        side = next(one.side for one in known.values() if one.group == groups[0])
        known[number] = Placed(number, groups[0], side)
        if len(groups) > 1:
            pairs.join_groups(session, groups[1:], groups[0], side)
            for other, one in list(known.items()):
                if one.group in groups:
                    known[other] = Placed(other, groups[0], side)
    pairs.place(session, [known[number] for number in fresh])


class _Looks:
    """The fingerprints of images that have a side, to which others are added one by one."""

    def __init__(self, hashes: dict[int, bytes], placed: dict[int, Placed]) -> None:
        self._numbers = sorted(number for number in hashes if not is_plain(hashes[number]))
        self._rows = {number: row for row, number in enumerate(self._numbers)}
        self._words = as_words([hashes[number] for number in self._numbers])
        self._is_placed = np.array([number in placed for number in self._numbers], dtype=bool)

    def near(self, number: int) -> list[int]:
        """The images with a side that look like this one, which has one from now on."""
        row = self._rows.get(number)
        if row is None:
            return []
        is_near = differing_bits(self._words[row], self._words) <= NEAR_BITS
        found = [self._numbers[other] for other in np.nonzero(self._is_placed & is_near)[0]]
        self._is_placed[row] = True
        return found
