"""Classification with labels given in words."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model import LabelError, classify
from model.zero_shot import PROMPT_TEMPLATES, label_embeddings

VECTORS = {"dog": (1.0, 0.0, 0.0), "cat": (0.0, 1.0, 0.0), "sea": (0.0, 0.0, 1.0)}


def embed_texts(texts: list[str]) -> NDArray[np.float32]:
    """Each prompt is the vector of the animal in it, a prompt with "photo" leaning to the sea."""
    rows = []
    for text in texts:
        vector = sum(np.array(VECTORS[name]) for name in VECTORS if name in text)
        vector = vector + 0.1 * np.array(VECTORS["sea"]) * ("photo" in text)
        rows.append(vector / np.linalg.norm(vector))
    return np.array(rows, dtype=np.float32)


def image(*values: float) -> NDArray[np.float32]:
    """One unit row."""
    vector = np.array([values], dtype=np.float32)
    return vector / np.linalg.norm(vector)


def test_the_default_ensemble_has_the_papers_prompt() -> None:
    """The contract names one template."""
    assert "A photo of a {label}." in PROMPT_TEMPLATES


def test_label_embedding_is_the_normalised_mean_of_its_prompts() -> None:
    """Templates are averaged as unit vectors, then made a unit vector again."""
    (vector,) = label_embeddings(["dog"], embed_texts, ["{label}", "photo {label}"])
    mean = embed_texts(["dog", "photo dog"]).mean(axis=0)
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=1e-6)


def test_predictions_are_best_first_and_sum_to_one() -> None:
    """Scores are cosines, probabilities their softmax at the model's temperature."""
    ((first, second),) = classify(
        image(3, 4, 0),
        ["dog", "cat"],
        embed_texts=embed_texts,
        logit_scale=10,
        templates=["{label}"],
    )
    assert (first.label, second.label) == ("cat", "dog")
    assert first.score == pytest.approx(0.8, abs=1e-6)
    assert first.probability == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert first.probability + second.probability == pytest.approx(1)


def test_high_temperature_scales_stay_finite() -> None:
    """A logit_scale of 100 and opposite vectors overflow nothing."""
    ((first, second),) = classify(
        image(-1, 1, 0), ["dog", "cat"], embed_texts=embed_texts, logit_scale=1e4
    )
    assert (first.probability, second.probability) == (1.0, 0.0)


def test_labels_keep_the_callers_spelling() -> None:
    """Blanks around a label do not reach the prompt, but the answer names it as it was given."""
    ((only,),) = classify(image(1, 0, 0), [" dog "], embed_texts=embed_texts, logit_scale=1)
    assert only.label == " dog "
    assert only.probability == 1


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "at least one label"),
        (["dog", "  "], "Label 2 is blank"),
        (["dog", "cat", "Dog "], "'Dog' is given twice"),
    ],
)
def test_labels_that_make_no_sense_are_refused(labels: list[str], reason: str) -> None:
    """The error says which label is wrong."""
    with pytest.raises(LabelError, match=reason):
        classify(image(1, 0, 0), labels, embed_texts=embed_texts, logit_scale=1)


@pytest.mark.parametrize("templates", [[], ["a photo"]])
def test_templates_need_a_place_for_the_label(templates: list[str]) -> None:
    """An empty list and a template without {label} are errors; None means the default."""
    with pytest.raises(LabelError, match="template"):
        label_embeddings(["dog"], embed_texts, templates)


def test_braces_in_labels_and_templates_are_only_text() -> None:
    """User text is never a format string."""
    label_embeddings(["{0} dog {label}"], embed_texts, ["{label} {x} {"])
