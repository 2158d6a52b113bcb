"""Recall, median rank and accuracy on cases worked out by hand."""

import numpy as np
import pytest

from model.training.evaluation import accuracy, image_to_text, text_to_image

IMAGES = np.eye(12, dtype=np.float32)


def test_perfect_texts_are_found_first() -> None:
    """Each text next to its image gives recall 1 in both directions and median rank 1."""
    owners = np.repeat(np.arange(12), 5)
    for retrieval in (
        text_to_image(IMAGES, IMAGES[owners], owners),
        image_to_text(IMAGES, IMAGES[owners], owners),
    ):
        assert retrieval.recall_at_1 == retrieval.recall_at_5 == retrieval.recall_at_10 == 1
        assert retrieval.median_rank == 1


def test_ranks_are_counted_from_one() -> None:
    """One text whose image is third counts at 5 and at 10, not at 1."""
    text = np.zeros((1, 12), dtype=np.float32)
    text[0, [4, 7, 2]] = 0.3, 0.2, 0.1
    retrieval = text_to_image(IMAGES, text, np.array([2]))
    assert (retrieval.recall_at_1, retrieval.recall_at_5, retrieval.recall_at_10) == (0, 1, 1)
    assert retrieval.median_rank == 3
    assert retrieval.mean_recall == pytest.approx(2 / 3)


def test_an_image_is_served_by_any_of_its_texts() -> None:
    """One good caption among bad ones is enough, as in the usual image-to-text recall."""
    texts = IMAGES[[1, 0, 3, 2]]
    retrieval = image_to_text(IMAGES[:2], texts, np.array([0, 0, 1, 1]))
    assert retrieval.recall_at_1 == 0.5


def test_accuracy_counts_the_nearest_label() -> None:
    """Three of four images lie nearest to their own label."""
    assert accuracy(IMAGES[[0, 1, 2, 2]], IMAGES[:3], np.array([0, 1, 2, 0])) == 0.75
