"""Who belongs to whom, in a set of pairs and in a batch of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.prompts import PROMPT_TEMPLATES
from model.training.batches import pair_batch
from model.training.evaluation import retrieval, text_to_image
from model.training.measures import agreement, measure
from model.training.pairing import pair_up, with_prompts
from model.training.pairs import CaptionedPhoto


def photos(*texts: tuple[str, ...]) -> list[CaptionedPhoto]:
    """A photo for each tuple of texts."""
    return [CaptionedPhoto(Path(f"{number}.jpg"), own) for number, own in enumerate(texts)]


def test_a_text_of_several_photos_belongs_to_all_of_them() -> None:
    """Distinct texts stand there once, with their owners."""
    pairing = pair_up(photos(("coat", "red coat"), ("coat",), ("hat", "hat")))
    assert pairing.texts == ("coat", "red coat", "hat")
    assert pairing.rows == ((0, 1), (0,), (2,))
    assert pairing.owners() == [[0, 1], [0], [2]]


def test_prompts_of_one_word_are_one_label() -> None:
    """Photos that share texts have one label, of all those texts."""
    pairing = pair_up(photos(("coat", "a coat"), ("a coat",), ("hat",), ("hat", "a hat")))
    labels = pairing.labels()
    assert labels is not None
    texts, right = labels
    assert texts == [[0, 1], [2, 3]]
    assert right.tolist() == [0, 0, 1, 1]


def test_captions_are_no_labels() -> None:
    """Texts of one photo each, or one text for everything, name nothing."""
    assert pair_up(photos(("a",), ("b",), ("c",), ("d",))).labels() is None
    assert pair_up(photos(("a",), ("a",), ("a",))).labels() is None


def test_names_are_taught_in_prompts_too() -> None:
    """A short text of several photos is a name; a sentence, or a text of one photo, is not."""
    sentence = "a red coat on a white wall"
    taught = with_prompts(photos(("coat", sentence), ("coat", sentence), ("hat",)))
    assert taught[0].captions[0] == "coat"
    prompts = {template.replace("{label}", "coat") for template in PROMPT_TEMPLATES}
    assert set(taught[0].captions) == prompts | {sentence}
    assert taught[2].captions == ("hat",)


def test_batch_knows_every_pair_in_it_whoever_drew_the_text() -> None:
    """A text is drawn for one photo and is right for another that has it as well."""
    rows = [[0, 1], [0, 1], [2]]
    for seed in range(20):
        random = torch.Generator().manual_seed(seed)
        batch = pair_batch([0, 1, 2], rows, random)
        assert len(set(batch.texts.tolist())) == len(batch.texts)
        for photo, row in zip(batch.photos.tolist(), batch.is_pair, strict=True):
            own = [text in rows[photo] for text in batch.texts.tolist()]
            assert row.tolist() == own
        assert batch.is_pair.any(dim=0).all()
        assert batch.is_pair.any(dim=1).all()


def unit(count: int, seed: int) -> np.ndarray:
    """Random unit rows."""
    rows = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_recall_with_one_right_answer_is_the_usual_one() -> None:
    """Over more queries than are compared at once."""
    images, texts = unit(40, 1), unit(600, 2)
    owners = np.random.default_rng(3).integers(40, size=600)
    found = retrieval(texts, images, [[owner] for owner in owners.tolist()])
    assert found == text_to_image(images, texts, owners)


def test_any_photo_of_a_text_is_a_right_answer() -> None:
    """Labels find their photos at the first place when every photo lies at its label."""
    pairing = pair_up(photos(("coat",), ("coat",), ("hat",), ("hat",)))
    axes = np.eye(2, 8, dtype=np.float32)
    found = measure(axes[[0, 0, 1, 1]], axes, pairing)
    assert found.text_to_image.recall_at_1 == 1
    assert (found.zero_shot_top_1, found.labels) == (1, 2)
    swapped = measure(axes[[1, 0, 1, 1]], axes, pairing)
    assert swapped.goal == swapped.zero_shot_top_1 == 0.75


def test_agreement_is_the_share_of_hits_that_stay() -> None:
    """A model agrees with itself wholly, and hardly with one that knows nothing of it."""
    queries, gallery = unit(30, 4), unit(500, 5)
    assert agreement((queries, queries), (gallery, gallery)) == 1
    turned = np.linalg.qr(np.random.default_rng(6).normal(size=(8, 8)))[0].astype(np.float32)
    assert agreement((queries, queries @ turned), (gallery, gallery @ turned)) == pytest.approx(1)
    assert agreement((queries, unit(30, 7)), (gallery, unit(500, 8))) < 0.1
    few = gallery[:4]
    assert agreement((queries, unit(30, 7)), (few, unit(4, 8))) == 1
