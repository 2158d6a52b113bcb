"""When two images are the same picture, and when they are similar; measured for each model version.

`same`: a copy in another size, format or quality. Its fingerprint differs in few bits, and the
model does not object. `similar`: a crop, the next shot of a series. Only the model can tell: such
pictures are closer than a cosine that each model puts elsewhere, so it is measured on crops of the
library's own images, and far closer than whatever else is near, for in a library of one kind of
thing everything is close.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index.store.near_duplicates import Comparison

# Of 256 bits. Measured on 3,068 product photos and 700 of Flickr8k: 95 % of copies (half and a
# third of the size, JPEG of quality 30, WebP) differ in at most 26 and all in at most 42; the two
# nearest different pictures differ in 44.
SAME_BITS = 40
# Of the shipped model, for libraries too small to measure on. It finds a copy of a quarter of the
# size as little like its original as 0.36, so the fingerprint decides, and this only objects. Of
# crops of nine tenths, 95 % are at 0.85 and over.
SAME_COSINE = 0.3
SIMILAR_COSINE = 0.85
# How far a similar image is at most, as a share of the distance to the last of the nearest ones.
# Of 10,240 photos, 6 % have a neighbour so close, most of them shots of one series by their names.
CLOSENESS = 0.4
NEIGHBOURS = 16
SAMPLE_SIZE = 64
SMALLEST_SAMPLE = 20
# The share of known copies and crops that a threshold lets through.
COPIES_FOUND = 0.95
SAME_MARGIN = 0.1

SHIPPED = Comparison(0, SAME_COSINE, SIMILAR_COSINE, 0)


def is_copy(differing_bits: int, cosine: float, thresholds: Comparison) -> bool:
    """Whether two images are the same picture."""
    return differing_bits <= SAME_BITS and cosine >= thresholds.same_cosine


def is_close(cosine: float, farthest: float | None, thresholds: Comparison) -> bool:
    """Whether an image is near enough to another to be similar.

    `farthest` is the cosine of the last of its nearest ones, None when the library has no more.
    """
    if cosine < thresholds.similar_cosine:
        return False
    return farthest is None or 1 - cosine <= CLOSENESS * (1 - farthest)


def measured(
    originals: NDArray[np.float32], copies: NDArray[np.float32], crops: NDArray[np.float32]
) -> Comparison:
    """The thresholds at which a model finds copies and crops.

    Unit vectors (N, D) of N pictures, of a small copy and of a crop of each.
    """
    same, similar = (
        float(np.quantile((originals * changed).sum(axis=1), 1 - COPIES_FOUND))
        for changed in (copies, crops)
    )
    return Comparison(0, same - SAME_MARGIN, similar, len(originals))
