"""The steps of a fine-tune: which photos, texts and queries, and the gradients of their loss.

Shape letters: N photos and M texts of a step, Q its everyday queries, F and W widths of the towers'
features.
"""

import copy
import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.preprocessing import to_tensor
from model.training.batches import PairBatch, pair_batch
from model.training.cached_gradients import GRAPH_BYTES, backward_in_chunks
from model.training.features import PhotoReader
from model.training.fine_tuning_settings import FineTuneSettings
from model.training.graphs import graph_bytes
from model.training.holding import Held, mixed_features, tuning_loss
from model.training.precision import learning_in
from model.training.processes import Processes
from model.training.sampling import places_of_epoch
from model.training.texts import text_chunks
from model.training.tuning_corpus import TuningCorpus, embedded

_QUERIES = 128
_MIXED = 256
# One general photo beside so many of the owner's, where there are any.
_GENERAL_SHARE = 4
# Larger chunks are no faster.
_MOST_PHOTOS_A_CHUNK = 64
_CHUNK_BYTES = GRAPH_BYTES // 2
_TEXT_CHUNK = 64


class TuningSteps:
    """Adds the gradients of a step, for a trainer; what is random comes from its generator.

    Of several processes each adds its share.
    """

    def __init__(
        self,
        model: DualEncoder,
        corpus: TuningCorpus,
        settings: FineTuneSettings,
        reader: PhotoReader,
        precision: torch.dtype,
        processes: Processes,
    ) -> None:
        """`model` is still the start; `precision` is what towers that learn compute in."""
        self._model = model
        self._corpus = corpus
        self._settings = settings
        self._reader = reader
        self._precision = precision
        self._processes = processes
        self._start_head = copy.deepcopy(model.image_projection)
        learnt = [corpus.train, *([corpus.general_train] if corpus.general_train else [])]
        self._features = torch.cat([photos.features for photos in learnt])
        self._anchors = embedded(model.image_projection, self._features)
        self._rows = [rows for photos in learnt for rows in photos.bank_rows()]
        self._paths = [photo.path for photos in learnt for photo in photos.photos]

    def head_step(self, number: int, random: torch.Generator) -> Tensor:
        """On the frozen towers' features."""
        batch, queries = self._draw(number, random)
        texts = torch.cat([batch.texts, queries])
        loss = self._loss_of(batch, queries, random)(
            self._features[batch.photos], self._corpus.texts.features[texts]
        )
        # Every process computes all of it alike, and their gradients will be summed.
        (loss / self._processes.count).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def tower_step(self, number: int, random: torch.Generator) -> Tensor:
        """Through the towers as they are, by cached gradients."""
        batch, queries = self._draw(number, random)
        loss_of = self._loss_of(batch, queries, random)
        photos = batch.photos.tolist()
        size = min(self._photos_a_chunk, math.ceil(len(photos) / self._processes.count))
        starts = range(0, len(photos), size)
        squares = [
            self._reader.squares([self._paths[photo] for photo in photos[at : at + size]])
            if self._processes.owns(chunk)
            else []
            for chunk, at in enumerate(starts)
        ]
        rows = [*batch.texts.tolist(), *queries.tolist()]
        tokens = [self._corpus.texts.tokens[row] for row in rows]
        chunks, places = text_chunks(self._model.text_tower, tokens, _TEXT_CHUNK)
        return backward_in_chunks(
            [
                [partial(self._photo_features, chunk) for chunk in squares],
                [partial(self._text_features, chunk) for chunk in chunks],
            ],
            lambda photo_features, text_features: loss_of(photo_features, text_features[places]),
            self._processes,
        )

    @cached_property
    def _photos_a_chunk(self) -> int:
        """As many as one graph has room for, with what learns now."""
        side = self._reader.preprocessing.image_size
        blank = np.zeros((side, side, 3), np.uint8)
        one, two = (
            graph_bytes(partial(self._photo_features, [blank] * count))[1] for count in (1, 2)
        )
        return min(max(_CHUNK_BYTES // max(two - one, 1), 1), _MOST_PHOTOS_A_CHUNK)

    def _draw(self, number: int, random: torch.Generator) -> tuple[PairBatch, Tensor]:
        own, seed, size = (
            len(self._corpus.train.photos),
            self._settings.seed,
            self._settings.batch_size,
        )
        photos = places_of_epoch(own, size, number, seed)
        if general := len(self._rows) - own:
            places = places_of_epoch(general, max(1, size // _GENERAL_SHARE), number, seed)
            photos += [own + place for place in places]
        queries = torch.randperm(len(self._corpus.queries), generator=random)[:_QUERIES]
        return pair_batch(photos, self._rows, random), self._corpus.queries[queries]

    def _loss_of(
        self, batch: PairBatch, queries: Tensor, random: torch.Generator
    ) -> Callable[[Tensor, Tensor], Tensor]:
        mixed = mixed_features(self._features, _MIXED, random)
        held = Held(
            mixed=mixed,
            mixed_anchors=embedded(self._start_head, mixed),
            query_anchors=self._corpus.text_anchors[queries],
            photo_anchors=self._anchors[batch.photos],
        )
        model, weights = self._model, self._settings.hold

        def loss_of(photo_features: Tensor, text_features: Tensor) -> Tensor:
            photos = model.image_projection(photo_features)
            texts = model.text_projection(text_features)
            own = len(batch.texts)
            return tuning_loss(
                model, weights, held, batch.is_pair, photos, texts[:own], texts[own:]
            )

        return loss_of

    def _photo_features(self, squares: Sequence[NDArray[np.uint8]]) -> Tensor:
        pixels = to_tensor(squares, self._reader.preprocessing)
        with learning_in(self._precision):
            features: Tensor = self._model.image_tower(pixels)
        return features.float()

    def _text_features(self, chunk: Callable[[], Tensor]) -> Tensor:
        with learning_in(self._precision):
            return chunk().float()
