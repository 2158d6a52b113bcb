"""Training a linear probe on examples, and drawing a few of each label for it.

Source: Radford et al., 2021, appendix A.3: L-BFGS, and a search over the regularisation that starts
wide and halves its step round the best, judged on held-out examples.

Shape letters: N examples, D embedding width.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.errors import LabelError, TrainingError
from model.linear_probe import LinearProbe
from model.prompts import check_labels

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

PROBE_LABELS_ALLOWED = 1_000
_ITERATIONS = 1_000
# Decades of the inverse strength: every second one first, then finer round the best.
_FIRST_EXPONENTS = (-4.0, -2.0, 0.0, 2.0, 4.0)
_LAST_STEP = 1 / 4
# Where no label has an example to spare, which is where it hardly matters.
_UNTUNED_EXPONENT = 2.0
_HELD_OUT_ONE_IN = 5
# With fewer, the lowest twentieth of them is less than one example.
_CALIBRATION_NEEDED = 20


@dataclass(frozen=True, slots=True, eq=False)
class ProbeExamples:
    """Embeddings (N, D) float32 with unit rows, and the label of each."""

    vectors: NDArray[np.float32]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, places: Sequence[int]) -> "ProbeExamples":
        """The examples at these places, in this order."""
        return ProbeExamples(
            self.vectors[list(places)], tuple(self.labels[place] for place in places)
        )


@dataclass(frozen=True, slots=True, eq=False)
class TrainedProbe:
    """A probe and how it came about.

    `accuracy` is top-1 on the `held_out` examples by what was learned from the others, None when
    none could be held out. `strength` is the inverse of the regularisation that did best there.
    """

    probe: LinearProbe
    strength: float
    accuracy: float | None
    examples: int
    held_out: int


def check_probe_training_installed() -> None:
    """Raise TrainingError where scikit-learn is missing; a saved probe is used without it."""
    if find_spec("sklearn") is None:
        raise TrainingError("Training a probe needs scikit-learn: install the extra `probe`.")


def draw_shots(labels: Sequence[str], shots: int, *, seed: int) -> list[int]:
    """Places of `shots` examples of each label, ascending; of a rarer label all of them.

    The draw depends on the seed and on the order within each label, not on the other labels.
    """
    drawn: list[int] = []
    for label, places in sorted(_by_label(labels).items()):
        # A generator of its own for each label: another label more leaves this one's draw alone.
        random = np.random.default_rng([seed, *label.encode()])
        drawn += random.permutation(places)[:shots].tolist()
    return sorted(drawn)


def train_probe(
    train: ProbeExamples,
    held_out: ProbeExamples | None = None,
    *,
    fingerprint: str,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> TrainedProbe:
    """A probe of the labels in `train`, its regularisation chosen on `held_out`.

    Examples of `held_out` with other labels are passed by. Without any that counts, one in five
    examples of each label is held out, and learned from too once the choice is made. `fingerprint`
    is that of the model which embedded the examples. `report` gets fits done and fits in all, and
    may raise to stop.

    Raises TrainingError for fewer than two labels, more than a thousand, labels that make no sense,
    or without scikit-learn; LabelError never.
    """
    names = _names(train.labels)
    known = frozenset(names)
    given = held_out is not None and known.intersection(held_out.labels)
    if held_out is not None and given:
        judges = held_out.some(
            [place for place, label in enumerate(held_out.labels) if label in known]
        )
        learned = train
    else:
        places = _held_out(train.labels, seed)
        judges = train.some(places)
        spared = frozenset(places)
        learned = train.some([place for place in range(len(train)) if place not in spared])
    search = _Search(learned, judges, names, report)
    exponent, accuracy = search.best()
    final = learned if given else train
    weights, biases = _maps(_fitted(final, 10**exponent))
    report(search.total, search.total)
    return TrainedProbe(
        LinearProbe(
            labels=names,
            fingerprint=fingerprint,
            weights=weights,
            biases=biases,
            centres=_centres(final, names),
            calibration=_calibration(judges, _centres(learned, names)),
        ),
        strength=10**exponent,
        accuracy=accuracy,
        examples=len(final),
        held_out=len(judges),
    )


class _Search:
    """Finds the exponent of the inverse regularisation that does best on held-out examples."""

    def __init__(
        self,
        learned: ProbeExamples,
        judges: ProbeExamples,
        names: tuple[str, ...],
        report: Callable[[int, int], None],
    ) -> None:
        self._learned = learned
        self._judges = judges
        self._right = np.array([names.index(label) for label in judges.labels], dtype=np.int64)
        self._report = report
        self._found: dict[float, tuple[float, float]] = {}
        steps = math.log2((_FIRST_EXPONENTS[1] - _FIRST_EXPONENTS[0]) / _LAST_STEP)
        self.total = len(_FIRST_EXPONENTS) + 2 * round(steps) + 1

    def best(self) -> tuple[float, float | None]:
        """The exponent and its accuracy; the usual one where there is nothing to judge by."""
        if not len(self._judges):
            return _UNTUNED_EXPONENT, None
        for exponent in _FIRST_EXPONENTS:
            self._judge(exponent)
        step = _FIRST_EXPONENTS[1] - _FIRST_EXPONENTS[0]
        while step > _LAST_STEP:
            step /= 2
            middle = self._first()
            for exponent in (middle - step, middle + step):
                # Examples that are told apart without a fault want ever less regularisation.
                if _FIRST_EXPONENTS[0] <= exponent <= _FIRST_EXPONENTS[-1]:
                    self._judge(exponent)
        exponent = self._first()
        return exponent, self._found[exponent][0]

    def _first(self) -> float:
        # Equal accuracy is common with few examples: then the surer one, then the smoother one.
        return max(self._found, key=lambda one: (*self._found[one], -one))

    def _judge(self, exponent: float) -> None:
        model = _fitted(self._learned, 10**exponent)
        probabilities = model.predict_proba(self._judges.vectors)
        accuracy = float((probabilities.argmax(axis=1) == self._right).mean())
        own = probabilities[np.arange(len(self._right)), self._right]
        self._found[exponent] = accuracy, float(np.log(np.maximum(own, 1e-12)).mean())
        self._report(len(self._found), self.total)


def _names(labels: Sequence[str]) -> tuple[str, ...]:
    names = tuple(sorted(set(labels)))
    if len(names) < 2:
        raise TrainingError("A probe tells labels apart: give examples of at least two.")
    if len(names) > PROBE_LABELS_ALLOWED:
        raise TrainingError(
            f"The examples have {len(names):,} labels, and at most {PROBE_LABELS_ALLOWED:,} "
            "are learned."
        )
    try:
        check_labels(names)
    except LabelError as error:
        raise TrainingError(error.reason) from error
    return names


def _by_label(labels: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    return places


def _held_out(labels: Sequence[str], seed: int) -> list[int]:
    """Places of one in five examples of each label that has two or more, at least one."""
    held_out: list[int] = []
    for label, places in sorted(_by_label(labels).items()):
        count = min(len(places) - 1, max(1, len(places) // _HELD_OUT_ONE_IN))
        own = draw_shots([label] * len(places), count, seed=seed)
        held_out += [places[place] for place in own]
    return sorted(held_out)


def _fitted(examples: ProbeExamples, strength: float) -> "LogisticRegression":
    check_probe_training_installed()
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (an extra)

    with warnings.catch_warnings():
        # The weakest regularisations need not converge to be judged: stopping early is one too. And
        # few examples of many labels are what a few shots are, not a regression.
        warnings.simplefilter("ignore", UserWarning)
        return LogisticRegression(C=strength, max_iter=_ITERATIONS).fit(
            examples.vectors, np.array(examples.labels)
        )


def _maps(model: "LogisticRegression") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (C, D) and biases (C,); of two labels the first one's logit is always 0."""
    weights, biases = model.coef_, model.intercept_
    if len(weights) == 1:
        weights = np.concatenate([np.zeros_like(weights), weights])
        biases = np.concatenate([np.zeros_like(biases), biases])
    return weights.astype(np.float32), biases.astype(np.float32)


def _centres(examples: ProbeExamples, names: Sequence[str]) -> NDArray[np.float32]:
    rows = _by_label(examples.labels)
    means = np.stack([examples.vectors[rows[name]].mean(axis=0) for name in names])
    # Opposite examples have a mean of no length, which is near nothing.
    lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return np.asarray(means / lengths, dtype=np.float32)


def _calibration(judges: ProbeExamples, centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """How near each held-out example is to its nearest centre, ascending."""
    if len(judges) < _CALIBRATION_NEEDED:
        return np.empty(0, dtype=np.float32)
    nearness: NDArray[np.float32] = (judges.vectors @ centres.T).max(axis=1)
    return np.sort(nearness)
