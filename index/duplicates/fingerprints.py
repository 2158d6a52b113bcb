"""Every fingerprint of the library in memory, to find those that differ from one in few bits."""

from __future__ import annotations

from collections.abc import Mapping

import faiss
import numpy as np

from model import HASH_BITS


class Fingerprints:
    """Fingerprints by image number, 40 bytes each. Not thread-safe.

    Deleted images stay; who asks leaves them out.
    """

    def __init__(self) -> None:
        self._index = faiss.IndexBinaryFlat(HASH_BITS)
        self._numbers: list[int] = []
        self.last_number = -1

    def add(self, hashes: Mapping[int, bytes], up_to: int) -> None:
        """Add the fingerprints of the images until `up_to`, none of which was added before."""
        numbers = sorted(hashes)
        if numbers:
            self._index.add(_rows([hashes[number] for number in numbers]))
            self._numbers += numbers
        self.last_number = max(self.last_number, up_to)

    def near(self, hashes: Mapping[int, bytes], bits: int) -> dict[tuple[int, int], int]:
        """How many bits differ, by (older, younger), where at most `bits` do."""
        if not hashes or not self._numbers:
            return {}
        numbers = sorted(hashes)
        rows = _rows([hashes[number] for number in numbers])
        # FAISS takes the first distance that is too far.
        limits, distances, places = self._index.range_search(rows, bits + 1)
        found: dict[tuple[int, int], int] = {}
        for row, number in enumerate(numbers):
            for entry in range(int(limits[row]), int(limits[row + 1])):
                other = self._numbers[int(places[entry])]
                if other != number:
                    found[min(number, other), max(number, other)] = int(distances[entry])
        return found


def _rows(hashes: list[bytes]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), HASH_BITS // 8)
