"""Two encoders on the same held-out pairs and everyday queries, as they would serve them.

Shape letters: P photos, D embedding width.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder
from model.errors import ImageError
from model.images import ImageLimits, Picture, decode
from model.training.features import UnreadablePhoto
from model.training.gate import AllowedFalls, Check, checks_of
from model.training.holding import general_queries
from model.training.measures import Measures, Verdict, agreement, measure
from model.training.pairing import pair_up
from model.training.pairs import CaptionedPhoto

_BATCH = 32
_DECODING_THREADS = 2


@dataclass(frozen=True, slots=True)
class ComparedPhotos:
    """What two encoders are compared on.

    `validation` are held-out pairs, `general` pairs of other kinds, `gallery` any photos among
    which the everyday queries are to find what they found.
    """

    validation: Sequence[CaptionedPhoto]
    gallery: Sequence[Path]
    general: Sequence[CaptionedPhoto] = ()
    limits: ImageLimits = field(default_factory=ImageLimits)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the two were judged, and whether the second may take the first one's place.

    `images` of the gallery could be read, and the photos in `unreadable` were left out everywhere.
    """

    before: Verdict
    after: Verdict
    checks: tuple[Check, ...]
    queries: int
    images: int
    validation_images: int
    validation_texts: int
    general_images: int
    unreadable: tuple[UnreadablePhoto, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def compare(
    before: Encoder,
    after: Encoder,
    photos: ComparedPhotos,
    allowed: AllowedFalls,
    progress: Callable[[int, int], None],
) -> Comparison:
    """Embed everything with both and judge them; `progress` hears (done, total) in photos.

    Raises TextError for a text that can't be embedded.
    """
    paths = list(
        dict.fromkeys(
            [
                *(photo.path for photo in (*photos.validation, *photos.general)),
                *photos.gallery,
            ]
        )
    )
    embedded = _Embedded(before, after, photos.limits)
    embedded.read(paths, progress)
    validation, general = (
        [photo for photo in pairs if photo.path in embedded.rows]
        for pairs in (photos.validation, photos.general)
    )
    gallery = [path for path in photos.gallery if path in embedded.rows]
    old, new = embedded.measured(validation)
    old_general, new_general = embedded.measured(general)
    queries = general_queries()
    shared = 1.0
    if gallery:
        texts = [encoder.embed_texts(queries).vectors for encoder in (before, after)]
        images = embedded.vectors(gallery)
        shared = agreement((texts[0], texts[1]), images)
    first = Verdict(old, 1.0, None if old_general is None else old_general.text_to_image)
    second = Verdict(new, shared, None if new_general is None else new_general.text_to_image)
    return Comparison(
        before=first,
        after=second,
        checks=checks_of(first, second, allowed),
        queries=len(queries),
        images=len(gallery),
        validation_images=len(validation),
        validation_texts=len(pair_up(validation).texts),
        general_images=len(general),
        unreadable=tuple(embedded.unreadable),
    )


class _Embedded:
    """Photos embedded by both encoders; a photo is decoded once."""

    def __init__(self, before: Encoder, after: Encoder, limits: ImageLimits) -> None:
        self._encoders = (before, after)
        self._limits = limits
        self._rows: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
        self.rows: dict[Path, int] = {}
        self.unreadable: list[UnreadablePhoto] = []

    def read(self, paths: Sequence[Path], progress: Callable[[int, int], None]) -> None:
        progress(0, len(paths))
        with ThreadPoolExecutor(_DECODING_THREADS) as pool:
            for start in range(0, len(paths), _BATCH):
                batch = paths[start : start + _BATCH]
                pixels = []
                for path, found in zip(batch, pool.map(self._prepared, batch), strict=True):
                    if isinstance(found, str):
                        self.unreadable.append(UnreadablePhoto(path, found))
                    else:
                        self.rows[path] = len(self.rows)
                        pixels.append(found)
                for place, (encoder, rows) in enumerate(
                    zip(self._encoders, self._rows, strict=True)
                ):
                    if pixels:
                        rows.extend(encoder.embed_pixels([one[place] for one in pixels]))
                progress(start + len(batch), len(paths))

    def vectors(self, paths: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(P, D) unit rows by each encoder."""
        chosen = [self.rows[path] for path in paths]
        first, second = (np.stack([rows[row] for row in chosen]) for rows in self._rows)
        return first, second

    def measured(self, photos: Sequence[CaptionedPhoto]) -> tuple[Measures | None, Measures | None]:
        """The measures of each encoder; None where there is no photo."""
        if not photos:
            return None, None
        pairing = pair_up(photos)
        first, second = (
            measure(vectors, encoder.embed_texts(pairing.texts).vectors, pairing)
            for encoder, vectors in zip(
                self._encoders, self.vectors([photo.path for photo in photos]), strict=True
            )
        )
        return first, second

    def _prepared(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | str:
        side = max(encoder.image_size for encoder in self._encoders)
        try:
            picture: Picture = decode(path, self._limits, shorter_side=side)
        except ImageError as error:
            return str(error)
        except OSError as error:
            return error.strerror or "it can't be opened"
        before, after = self._encoders
        return before.prepare(picture), after.prepare(picture)
