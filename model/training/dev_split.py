"""Measuring a model in the making on photos it never learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.dual_encoder import DualEncoder
from model.tokenizers import Tokenizer, Tokens, pad
from model.towers.efficientnet_lite import EfficientNetLite
from model.training.activations import Activations, Seen
from model.training.evaluation import Retrieval, text_to_image
from model.training.pairs import CaptionedPhoto
from model.zero_shot import label_embeddings

_BATCH = 64
# A photo shows a class, for the measure of naming, if the classifier gives it at least this share.
_SHOWN_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Score:
    """`captions`: the dev captions rank the dev photos. `names`: class names rank them.

    For the second, right is the photo that the ImageNet classifier is surest of, for the classes
    that it is sure of at all; None when it is of none.
    """

    captions: Retrieval
    names: Retrieval | None

    @property
    def total(self) -> float:
        """One figure to choose by: mean recall of captions, half as much that of names."""
        names = self.names.mean_recall if self.names else 0.0
        return self.captions.mean_recall + 0.5 * names

    def __str__(self) -> str:
        captions, names = self.captions, self.names
        text = (
            f"captions {captions.recall_at_1:.3f}/{captions.recall_at_5:.3f}"
            f"/{captions.recall_at_10:.3f}"
        )
        if names is None:
            return text
        return f"{text}, names {names.recall_at_1:.3f}/{names.recall_at_10:.3f}"


class DevSplit:
    """Dev photos, their captions, and which of them show a class."""

    def __init__(
        self,
        photos: Sequence[CaptionedPhoto],
        activations: Activations,
        frozen_blocks: int,
        logits: Tensor,
        names: Sequence[str],
        tokenizer: Tokenizer,
    ) -> None:
        """`logits` (P, K) are the classifier's of the photos, `names` (K,) its classes' names."""
        self._activations = activations
        self._frozen_blocks = frozen_blocks
        self._tokenizer = tokenizer
        self._captions = tokenizer([text for photo in photos for text in photo.captions])
        self._owners = np.repeat(np.arange(len(photos)), [len(photo.captions) for photo in photos])
        shares = logits.softmax(dim=1)
        surest, shown = shares.max(dim=0)
        is_shown = (surest > _SHOWN_SHARE) & (
            shares.argmax(dim=1)[shown] == torch.arange(len(names))
        )
        self._names = [names[index] for index in is_shown.nonzero()[:, 0].tolist()]
        self._shown = shown[is_shown].numpy()

    @torch.inference_mode()
    def score(self, model: DualEncoder) -> Score:
        """The two measures for the weights that `model` has now."""
        images = self._embed_images(model)
        texts = _embed(model, self._captions)
        captions = text_to_image(images, texts, self._owners)
        if not self._names:
            return Score(captions, None)
        names = label_embeddings(
            self._names, lambda prompts: _embed(model, self._tokenizer(prompts))
        )
        return Score(captions, text_to_image(images, names, self._shown))

    def _embed_images(self, model: DualEncoder) -> NDArray[np.float32]:
        assert isinstance(model.image_tower, EfficientNetLite)
        vectors = []
        for start in range(0, len(self._activations.features), _BATCH):
            photos = torch.arange(start, min(start + _BATCH, len(self._activations.features)))
            first = torch.zeros_like(photos)
            lower = self._activations.lower_maps(Seen(photos, first, first.bool()))
            features = model.image_tower.finish(lower, self._frozen_blocks)
            vectors.append(F.normalize(model.image_projection(features), dim=-1))
        return torch.cat(vectors).numpy()


def _embed(model: DualEncoder, tokens: Sequence[Tokens]) -> NDArray[np.float32]:
    order = sorted(range(len(tokens)), key=lambda row: len(tokens[row].ids))
    vectors = [
        model.encode_texts(*pad([tokens[row] for row in order[start : start + _BATCH]]))
        for start in range(0, len(order), _BATCH)
    ]
    together = torch.cat(vectors)
    embedded = np.empty(tuple(together.shape), dtype=np.float32)
    embedded[order] = together.numpy()
    return embedded
