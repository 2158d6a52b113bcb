"""Classification with labels given in words."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from model import (
    PROMPT_TEMPLATES,
    TEMPLATE_SETS,
    LabelError,
    RememberedLabels,
    ZeroShotClassifier,
    classify,
    label_embeddings,
    templates_of,
)

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


def classifier(labels: list[str], **options: float) -> ZeroShotClassifier:
    """Of labels without templates."""
    vectors = label_embeddings(labels, embed_texts, ["{label}"])
    return ZeroShotClassifier(tuple(labels), vectors, **{"logit_scale": 10.0, **options})


def test_predictions_are_best_first_and_sum_to_one() -> None:
    """Scores are cosines, probabilities their softmax at the model's temperature."""
    (found,) = classify(image(3, 4, 0), classifier(["dog", "cat"]))
    first, second = found.predictions
    assert (first.label, second.label) == ("cat", "dog")
    assert first.score == pytest.approx(0.8, abs=1e-6)
    assert first.probability == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert first.probability + second.probability == pytest.approx(1)
    assert found.fit is None
    assert found.is_none is None


def test_a_sigmoid_models_probabilities_are_independent() -> None:
    """Each is the sigmoid of scale times cosine plus bias, whatever the other labels are."""
    (alone,) = classify(image(3, 4, 0), classifier(["dog"], logit_bias=-7.0))
    (among,) = classify(image(3, 4, 0), classifier(["cat", "dog"], logit_bias=-7.0))
    assert alone.predictions[0].probability == pytest.approx(1 / (1 + np.exp(1)), abs=1e-6)
    assert among.predictions[1] == alone.predictions[0]
    assert among.predictions[0].probability == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6)


@pytest.mark.parametrize("bias", [None, -7.0])
def test_high_temperature_scales_stay_finite(bias: float | None) -> None:
    """A logit_scale of 10,000 and opposite vectors overflow nothing."""
    options = {"logit_scale": 1e4} | ({} if bias is None else {"logit_bias": bias})
    (found,) = classify(image(-1, 1, 0), classifier(["dog", "cat"], **options))
    assert [one.probability for one in found.predictions] == [1.0, 0.0]


def test_labels_keep_the_callers_spelling() -> None:
    """Blanks around a label do not reach the prompt, but the answer names it as it was given."""
    (found,) = classify(image(1, 0, 0), classifier([" dog "]))
    assert found.predictions[0].label == " dog "
    assert found.predictions[0].probability == 1


def test_a_picture_that_everyday_sentences_describe_as_well_is_none_of_the_labels() -> None:
    """The fit is the share of them that the best label beats, and the threshold is put to it."""
    vectors = label_embeddings(["dog", "cat"], embed_texts, ["{label}"])
    everyday = embed_texts(["sea", "sea cat", "cat sea", "photo sea"])
    known = ZeroShotClassifier(("dog", "cat"), vectors, 10.0, background=everyday)
    pictures = np.concatenate([image(1, 0, 0), image(0.1, 0, 1), image(0.5, 0, 1)])
    dog, wave, between = classify(pictures, known, threshold="auto")
    assert [dog.is_none, wave.is_none, between.is_none] == [False, True, True]
    cosines = everyday @ image(0.5, 0, 1)[0]
    z = (between.predictions[0].score - cosines.mean()) / cosines.std()
    assert between.fit == pytest.approx(0.5 * (1 + math.erf(z / math.sqrt(2))), abs=1e-5)
    assert between.fit is not None
    for threshold in (between.fit, 0.0):
        (found,) = classify(image(0.5, 0, 1), known, threshold=threshold)
        assert not found.is_none
    (found,) = classify(image(1, 0, 0), known, threshold=1.0)
    assert found.is_none == (found.fit is not None and found.fit < 1)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "at least one label"),
        (["dog", "  "], "Label 2 is blank"),
        (["dog", "cat", "Dog "], "'Dog' is given twice"),
        (["caf\u00e9", "cafe\u0301"], "is given twice"),
    ],
)
def test_labels_that_make_no_sense_are_refused(labels: list[str], reason: str) -> None:
    """The error says which label is wrong."""
    with pytest.raises(LabelError, match=reason):
        label_embeddings(labels, embed_texts)
    with pytest.raises(LabelError, match=reason):
        RememberedLabels().embeddings(
            labels, PROMPT_TEMPLATES, fingerprint="f", embed_texts=embed_texts
        )


@pytest.mark.parametrize("templates", [[], ["a photo"]])
def test_templates_need_a_place_for_the_label(templates: list[str]) -> None:
    """An empty list and a template without {label} are errors; None means the default."""
    with pytest.raises(LabelError, match="template"):
        label_embeddings(["dog"], embed_texts, templates)


def test_braces_in_labels_and_templates_are_only_text() -> None:
    """User text is never a format string."""
    label_embeddings(["{0} dog {label}"], embed_texts, ["{label} {x} {"])


def test_a_set_of_templates_is_meant_by_its_name() -> None:
    """Alone or among templates, each prompt once; a wrong name is told with the right ones."""
    assert templates_of(None) == TEMPLATE_SETS["default"] == PROMPT_TEMPLATES
    assert templates_of([" art "]) == TEMPLATE_SETS["art"]
    mixed = templates_of(["the {label}", "products", "photos"])
    assert mixed[0] == "the {label}"
    assert set(mixed[1:]) == {*TEMPLATE_SETS["products"], *TEMPLATE_SETS["photos"]}
    assert len(set(mixed)) == len(mixed)
    with pytest.raises(LabelError, match="default, photos, products, documents, art"):
        templates_of(["prodcuts"])


def test_every_set_of_templates_can_be_used() -> None:
    """Each sentence has a place for the label, and none is there twice."""
    for templates in TEMPLATE_SETS.values():
        assert templates_of(list(templates)) == templates


class Counted:
    """Remembered labels, and the texts that had to be embedded for each question."""

    def __init__(self, at_most: int) -> None:
        self.texts: list[list[str]] = []
        self._remembered = RememberedLabels(at_most=at_most)

    def ask(self, *labels: str, fingerprint: str = "f", template: str = "{label}") -> list[str]:
        """What was embedded for these labels, whose embeddings are as if nothing was remembered."""
        self.texts.append([])
        found = self._remembered.embeddings(
            labels, [template], fingerprint=fingerprint, embed_texts=self._embed
        )
        np.testing.assert_array_equal(found, label_embeddings(labels, embed_texts, [template]))
        return self.texts[-1]

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        self.texts[-1] += texts
        return embed_texts(texts)


def test_labels_that_were_asked_before_are_not_embedded_again() -> None:
    """Only what is new is embedded; another model or other templates are something new."""
    counted = Counted(at_most=100)
    assert counted.ask("dog", "cat") == ["dog", "cat"]
    assert counted.ask("cat", " dog ") == []
    assert counted.ask("sea", "dog") == ["sea"]
    assert counted.ask("dog", fingerprint="g") == ["dog"]
    assert counted.ask("dog", template="a {label}") == ["a dog"]
    assert counted.ask("cat", "sea", "dog") == []


def test_labels_not_asked_for_longest_are_forgotten_first() -> None:
    """What is remembered is bounded, whatever is asked."""
    counted = Counted(at_most=2)
    assert counted.ask("dog", "cat", "sea") == ["dog", "cat", "sea"]
    assert counted.ask("cat", "sea") == []
    assert counted.ask("dog") == ["dog"]
    assert counted.ask("sea") == []
    assert counted.ask("cat") == ["cat"]
