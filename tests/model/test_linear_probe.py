"""Linear probes: trained on examples, saved, read back, and refused when they are not ours."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from model import (
    LabelError,
    LinearProbe,
    ProbeDamaged,
    ProbeExamples,
    TrainedProbe,
    TrainingError,
    classify,
    draw_shots,
    train_probe,
)

DIMENSION = 12
NAMES = ("coat", "hat", "shoe")


def examples(each: int, *, seed: int = 0, spread: float = 0.15) -> ProbeExamples:
    """Unit vectors about one axis a label, the labels by turns."""
    random = np.random.default_rng(seed)
    labels = [name for _ in range(each) for name in NAMES]
    vectors = random.normal(scale=spread, size=(len(labels), DIMENSION))
    vectors[np.arange(len(labels)), [NAMES.index(name) for name in labels]] += 1
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return ProbeExamples(unit.astype(np.float32), tuple(labels))


@pytest.fixture(scope="module")
def trained() -> TrainedProbe:
    """A probe of three labels that are easy to tell apart."""
    return train_probe(examples(20), examples(10, seed=1), fingerprint="f" * 64)


def elsewhere(count: int) -> NDArray[np.float32]:
    """Unit vectors that are near none of the labels."""
    rows = np.eye(DIMENSION, dtype=np.float32)[len(NAMES) :]
    return rows[np.arange(count) % len(rows)]


def test_a_probe_names_what_it_was_shown(trained: TrainedProbe) -> None:
    """On examples it never saw; probabilities sum to one and scores are cosines."""
    fresh = examples(5, seed=2)
    assert trained.accuracy == 1
    assert (trained.examples, trained.held_out) == (60, 30)
    for label, found in zip(fresh.labels, classify(fresh.vectors, trained.probe), strict=True):
        assert found.predictions[0].label == label
        assert sum(one.probability for one in found.predictions) == pytest.approx(1)
        assert all(-1 <= one.score <= 1.000001 for one in found.predictions)


def test_a_probe_tells_what_is_none_of_its_labels(trained: TrainedProbe) -> None:
    """Pictures elsewhere are none of them; of its own about one in twenty is turned away."""
    found = classify(elsewhere(9), trained.probe, threshold="auto")
    assert all(one.is_none for one in found)
    own = classify(examples(100, seed=3).vectors, trained.probe, threshold="auto")
    assert sum(bool(one.is_none) for one in own) / len(own) < 0.15
    assert all(one.fit is not None and 0 < one.fit <= 1 for one in own)


def test_two_labels_are_told_apart_too() -> None:
    """Logistic regression knows one vector of weights then; the probe has one a label."""
    both = examples(10)
    two = both.some([place for place, name in enumerate(both.labels) if name != "hat"])
    probe = train_probe(two, fingerprint="f").probe
    assert probe.weights.shape == (2, DIMENSION)
    for vector, label in zip(two.vectors, two.labels, strict=True):
        (found,) = classify(vector[None], probe)
        assert found.predictions[0].label == label


def test_the_regularisation_is_chosen_on_held_out_examples() -> None:
    """Noisy examples want a stronger one than clean ones, and every fit is reported."""
    fits: list[tuple[int, int]] = []
    clean = train_probe(
        examples(20),
        examples(20, seed=1),
        fingerprint="f",
        report=lambda done, total: fits.append((done, total)),
    )
    noisy = train_probe(examples(20, spread=0.8), examples(60, seed=1, spread=0.8), fingerprint="f")
    assert noisy.strength < clean.strength
    assert [done for done, _ in fits] == [*range(1, len(fits)), fits[-1][1]]
    assert {total for _, total in fits} == {fits[-1][1]}


def test_without_held_out_examples_some_are_held_out_and_then_learned_from() -> None:
    """One in five of each label judges; the probe is made of all."""
    made = train_probe(examples(10), fingerprint="f")
    assert (made.examples, made.held_out) == (30, 6)
    strangers = ProbeExamples(elsewhere(2), ("bag", "tie"))
    same = train_probe(examples(10), strangers, fingerprint="f")
    np.testing.assert_array_equal(same.probe.weights, made.probe.weights)


def test_one_example_of_each_label_makes_a_probe() -> None:
    """Nothing can be measured then, and what is none of the labels can't be told."""
    made = train_probe(examples(1), fingerprint="f")
    assert made.accuracy is None
    fresh = examples(5, seed=4)
    found = classify(fresh.vectors, made.probe)
    assert [one.predictions[0].label for one in found] == list(fresh.labels)
    with pytest.raises(LabelError, match="too few images"):
        classify(fresh.vectors, made.probe, threshold="auto")


def test_many_labels_of_one_example_each_make_a_probe() -> None:
    """As many labels as examples are no reason to warn."""
    labels = tuple(f"label {number}" for number in range(40))
    made = train_probe(ProbeExamples(np.eye(40, dtype=np.float32), labels), fingerprint="f")
    found = classify(np.eye(40, dtype=np.float32), made.probe)
    assert tuple(one.predictions[0].label for one in found) == labels


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["one", "one"], "at least two"),
        ([f"label {n}" for n in range(1_001)], "1,001 labels"),
        (["Hat", "hat"], "given twice"),
        (["hat", " "], "blank"),
    ],
)
def test_examples_without_sensible_labels_are_refused(labels: list[str], reason: str) -> None:
    """The error says what is wrong with them."""
    vectors = np.zeros((len(labels), 3), dtype=np.float32)
    with pytest.raises(TrainingError, match=reason):
        train_probe(ProbeExamples(vectors, tuple(labels)), fingerprint="f")


def test_shots_are_balanced_and_follow_from_the_seed() -> None:
    """So many of each label, all of a rarer one, and another label changes no other's draw."""
    labels = ["a"] * 50 + ["b"] * 50 + ["c"] * 3
    drawn = draw_shots(labels, 8, seed=1)
    assert drawn == sorted(set(drawn))
    counts = {name: sum(labels[place] == name for place in drawn) for name in "abc"}
    assert counts == {"a": 8, "b": 8, "c": 3}
    assert draw_shots(labels, 8, seed=1) == drawn
    assert draw_shots(labels, 8, seed=2) != drawn
    assert draw_shots(labels[:50], 8, seed=1) == [place for place in drawn if place < 50]
    assert set(draw_shots(labels, 4, seed=1)) < set(drawn)


def test_a_saved_probe_answers_as_before(trained: TrainedProbe) -> None:
    """Bit for bit, and the file is safetensors, which runs nothing when it is read."""
    content = trained.probe.to_bytes()
    again = LinearProbe.from_bytes(content)
    assert again.labels == NAMES
    assert again.fingerprint == "f" * 64
    fresh = examples(5, seed=5).vectors
    assert classify(fresh, again, threshold=0.1) == classify(fresh, trained.probe, threshold=0.1)
    np.testing.assert_array_equal(again.calibration, trained.probe.calibration)


def tensors(**changed: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    """The arrays of a probe of two labels."""
    plain: dict[str, NDArray[np.generic]] = {
        "weights": np.ones((2, 3), np.float32),
        "biases": np.ones(2, np.float32),
        "centres": np.ones((2, 3), np.float32),
        "calibration": np.ones(4, np.float32),
    }
    return plain | changed


def header(**changed: str) -> dict[str, str]:
    """What goes with them."""
    plain = {"format": "beholder-probe-1", "labels": '["a", "b"]', "fingerprint": "f"}
    return plain | changed


FOREIGN = [
    (b"", "no header"),
    (b"\x80\x04\x95 a pickle", "no header"),
    (save({"x": np.ones(1)}), "no header"),
    (save(tensors(), header(format="other")), "format is 'other'"),
    (save(tensors(), header(labels="[1, 2]")), "no texts"),
    (save(tensors(), header(labels='["a", "A"]')), "given twice"),
    (save(tensors(), header(labels='["a"]')), "1 labels"),
    (save(tensors(), header(labels="{")), "no header"),
    (save(tensors(extra=np.ones(1)), header()), "it holds"),
    (save(tensors(weights=np.ones(2, np.float32)), header()), "weights"),
    (save(tensors(weights=np.ones((2, 3))), header()), "float64"),
    (save(tensors(biases=np.full(2, np.nan, np.float32)), header()), "not finite"),
    (save(tensors(biases=np.ones(3, np.float32)), header()), "weights of shape"),
    (save(tensors(centres=np.ones((2, 4), np.float32)), header()), "centres"),
    (save(tensors(), header())[:-9], "cut short"),
]


@pytest.mark.parametrize(("content", "reason"), FOREIGN)
def test_what_is_no_saved_probe_is_refused(content: bytes, reason: str) -> None:
    """Cut, altered and foreign bytes are told apart from a probe, and each is told why."""
    with pytest.raises(ProbeDamaged, match=reason):
        LinearProbe.from_bytes(content)


def test_the_saved_labels_may_be_any_texts() -> None:
    """Quotes, other scripts and line breaks come back as they were."""
    labels = ['a "b"', "外套", "two\nlines"]
    content = save(
        tensors(
            weights=np.ones((3, 3), np.float32),
            biases=np.ones(3, np.float32),
            centres=np.ones((3, 3), np.float32),
        ),
        header(labels=json.dumps(labels)),
    )
    assert LinearProbe.from_bytes(content).labels == tuple(labels)
