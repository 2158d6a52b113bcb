"""Judging weights in the making: on held-out pairs, and against the start on everyday queries.

Shape letters: P photos, Q everyday queries, E embedding width.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.tokenizers import pad
from model.training.features import PhotoReader
from model.training.measures import Measures, Verdict, agreement, measure
from model.training.tuning_corpus import PhotoSet, TuningCorpus, embedded

# Enough photos for ten hits to say something, few enough to embed again between steps.
_GALLERY = 500
_BATCH = 32


class Judge:
    """Judges heads on the frozen towers' features, or a whole model with other towers."""

    def __init__(self, corpus: TuningCorpus, reader: PhotoReader) -> None:
        self._corpus = corpus
        self._reader = reader
        photos = len(corpus.train.photos)
        self._gallery = torch.arange(0, photos, max(1, photos // _GALLERY))

    def judge(self, model: DualEncoder, towers: DualEncoder | None = None) -> Verdict:
        """The verdict on `model`'s heads; `towers` is a serving copy of it where they differ.

        The start's own verdict has an agreement of 1.
        """
        corpus = self._corpus
        texts = embedded(model.text_projection, self._text_features(towers))
        validation = general = None
        if corpus.validation is not None:
            validation = self._measure(corpus.validation, model, towers, texts)
        if corpus.general_held is not None:
            general = self._measure(corpus.general_held, model, towers, texts).text_to_image
        seen = self._features(corpus.train, towers, self._gallery)
        return Verdict(
            validation,
            agreement(
                (corpus.text_anchors[corpus.queries].numpy(), texts[corpus.queries].numpy()),
                (
                    corpus.photo_anchors[self._gallery].numpy(),
                    embedded(model.image_projection, seen).numpy(),
                ),
            ),
            general,
        )

    def held_out(
        self, model: DualEncoder, towers: DualEncoder | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """(P, E) and (M, E) unit rows of the held-out photos and texts, if there are any."""
        photos = self._corpus.validation
        if photos is None:
            return None
        features = self._features(photos, towers, torch.arange(len(photos.photos)))
        texts = embedded(model.text_projection, self._text_features(towers)[photos.rows])
        return embedded(model.image_projection, features).numpy(), texts.numpy()

    def _measure(
        self, photos: PhotoSet, model: DualEncoder, towers: DualEncoder | None, texts: Tensor
    ) -> Measures:
        features = self._features(photos, towers, torch.arange(len(photos.photos)))
        images = embedded(model.image_projection, features).numpy()
        return measure(images, texts[photos.rows].numpy(), photos.pairing)

    def _features(self, photos: PhotoSet, towers: DualEncoder | None, rows: Tensor) -> Tensor:
        if towers is None:
            return photos.features[rows]
        paths = [photos.photos[row].path for row in rows.tolist()]
        return torch.cat(
            [
                self._reader.features(
                    self._reader.squares(paths[at : at + _BATCH]), towers.image_tower
                )
                for at in range(0, len(paths), _BATCH)
            ]
        )

    @torch.inference_mode()
    def _text_features(self, towers: DualEncoder | None) -> Tensor:
        bank = self._corpus.texts
        if towers is None:
            return bank.features
        order = sorted(range(len(bank.tokens)), key=lambda row: len(bank.tokens[row].ids))
        features = torch.empty_like(bank.features)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            features[batch] = towers.text_tower(*pad([bank.tokens[row] for row in batch])).float()
        return features
