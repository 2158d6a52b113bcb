"""When two images are the same picture, and when they are similar; measured for each model version.

`same`: a copy in another size, format or quality. Its fingerprint differs in few bits, and the
model agrees. `similar`: a crop, the next shot of a series. Only the model can tell, and each model
puts such pictures at another distance, so the cosine is measured on the library's own images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index.store.near_duplicates import Comparison, Grade

# Of 256 bits. Measured on 3,068 product photos and 700 of Flickr8k: 95 % of copies (half and a
# third of the size, JPEG of quality 30, WebP) differ in at most 26 and all in at most 42; the two
# nearest different pictures differ in 44.
SAME_BITS = 40
# Of the shipped model, for libraries too small to measure on. It finds a copy of a quarter of the
# size as little like its original as 0.36, so the fingerprint decides, and this only objects. A
# crop of nine tenths is at 0.95; of 2,048 photos one in fifty has a stranger at over 0.93.
SAME_COSINE = 0.3
SIMILAR_COSINE = 0.93
SAMPLE_SIZE = 64
SMALLEST_SAMPLE = 20
# The share of known copies that a threshold lets through, and of images that it gives no stranger.
COPIES_FOUND = 0.95
STRANGERS_LEFT_OUT = 0.95
SAME_MARGIN = 0.1

SHIPPED = Comparison(0, SAME_COSINE, SIMILAR_COSINE, 0)


def grade(differing_bits: int | None, cosine: float, thresholds: Comparison) -> Grade | None:
    """What two images are to each other; None when they are different pictures."""
    is_copy = differing_bits is not None and differing_bits <= SAME_BITS
    if is_copy and cosine >= thresholds.same_cosine:
        return "same"
    return "similar" if cosine >= thresholds.similar_cosine else None


def measured(
    originals: NDArray[np.float32],
    copies: NDArray[np.float32],
    crops: NDArray[np.float32],
    nearest: NDArray[np.float64],
) -> Comparison:
    """The thresholds at which a model finds copies and no strangers.

    Unit vectors (N, D) of N pictures, of a small copy and of a crop of each; `nearest` holds the
    cosine of each to the most alike stranger in the library, (N,).
    """
    same = float(np.quantile((originals * copies).sum(axis=1), 1 - COPIES_FOUND))
    similar = float(np.quantile((originals * crops).sum(axis=1), 1 - COPIES_FOUND))
    stranger = float(np.quantile(nearest, STRANGERS_LEFT_OUT))
    return Comparison(0, same - SAME_MARGIN, max(similar, stranger), len(originals))
