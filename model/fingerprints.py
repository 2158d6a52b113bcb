"""A short fingerprint of what a picture looks like: copies of it differ in few bits.

The low frequencies of the picture's brightness (a two-dimensional DCT), each as one bit: above or
below their median. Sizes, formats and compression change high frequencies, which are not looked at.
Source: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
chapter 3.2.1, here with 16 x 16 frequencies instead of 8 x 8.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.images import Picture

# Brightness is looked at in this many squares each way, and this many frequencies of it.
_SIDE = 64
_FREQUENCIES = 16
HASH_BITS = _FREQUENCIES * _FREQUENCIES
# Brightness, of 255, below which what varies in a picture is noise and says nothing of it.
_LEAST_CONTRAST = 0.5


def perceptual_hash(picture: Picture) -> bytes:
    """The picture's fingerprint, 32 bytes; compare two by the number of bits that differ.

    All zero for a plain picture, which has nothing to be known by: see `is_plain`.
    """
    # The antialiased reduction may look at most of the pixels of a long strip; a box is enough.
    grey = picture.rgb.resize((_SIDE, _SIDE), Image.Resampling.BOX).convert("L")
    brightness = np.asarray(grey, dtype=np.float64)
    waves = _waves()
    strengths = (waves @ brightness @ waves.T).ravel()
    # The first is the mean brightness: a darker copy is still a copy.
    strengths[0] = 0.0
    # The transform keeps lengths, so this is the standard deviation over the squares.
    if np.linalg.norm(strengths) / _SIDE < _LEAST_CONTRAST:
        return bytes(HASH_BITS // 8)
    return np.packbits(strengths > np.median(strengths)).tobytes()


def is_plain(fingerprint: bytes) -> bool:
    """Whether this is the fingerprint of every plain picture, and so of none."""
    return not any(fingerprint)


def differing_bits(one: NDArray[np.uint64], many: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits of each of N fingerprints differ from those of one: (W,), (N, W) -> (N,)."""
    return np.asarray(np.bitwise_count(many ^ one).sum(axis=1), dtype=np.int64)


def as_words(fingerprints: list[bytes]) -> NDArray[np.uint64]:
    """Fingerprints as rows (N, W) of machine words, to be compared by `differing_bits`."""
    joined = np.frombuffer(b"".join(fingerprints), dtype=np.uint64)
    return joined.reshape(len(fingerprints), HASH_BITS // 64)


@cache
def _waves() -> NDArray[np.float64]:
    """The first rows of the orthonormal DCT-II matrix, (frequencies, side)."""
    positions = (np.arange(_SIDE) + 0.5) * np.pi / _SIDE
    rows = np.cos(np.arange(_FREQUENCIES)[:, None] * positions) * np.sqrt(2 / _SIDE)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, dtype=np.float64)
