"""Which blend is chosen, and whether a model may take another's place."""

from __future__ import annotations

import pytest
import torch

from model.training.blending import choose_blend, lerped
from model.training.evaluation import Retrieval
from model.training.fine_tuning_settings import Blend
from model.training.gate import AllowedFalls, checks_of
from model.training.measures import Measures, Verdict

ALLOWED = AllowedFalls(agreement=0.2, general_recall=0.03)


def retrieval(share: float) -> Retrieval:
    """Every recall the same."""
    return Retrieval(share, share, share, 1)


def verdict(
    recall: float | None,
    agreement: float = 1.0,
    general: float | None = None,
    top: float | None = None,
) -> Verdict:
    """A verdict with these figures."""
    measures = None
    if recall is not None:
        measures = Measures(retrieval(recall), retrieval(recall), top, None if top is None else 10)
    return Verdict(measures, agreement, None if general is None else retrieval(general))


def failed(before: Verdict, after: Verdict) -> list[str]:
    """Names of the checks that do not hold."""
    return [check.name for check in checks_of(before, after, ALLOWED) if not check.passed]


def test_better_and_hardly_changed_elsewhere_passes() -> None:
    """Falls up to the limits are allowed."""
    assert failed(verdict(0.4, general=0.7), verdict(0.5, 0.8, general=0.671)) == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (verdict(0.4, general=0.7), ["domain_recall"]),
        (verdict(0.3, general=0.7), ["domain_recall"]),
        (verdict(0.5, 0.79, general=0.7), ["agreement"]),
        (verdict(0.5, general=0.66), ["general_recall"]),
        (verdict(0.3, 0.1, general=0.1), ["domain_recall", "agreement", "general_recall"]),
    ],
)
def test_each_figure_has_its_limit(after: Verdict, expected: list[str]) -> None:
    """No gain, other everyday hits, or lost general recall: each is named."""
    assert failed(verdict(0.4, general=0.7), after) == expected


def test_without_held_out_pairs_there_is_no_gain_to_show() -> None:
    """What can't be measured does not pass."""
    assert failed(verdict(None), verdict(None)) == ["domain_recall"]


def test_labels_are_judged_by_the_photos_named_right() -> None:
    """Where texts are labels recall says little: any photo of a label answers it."""
    before, after = verdict(0.9, top=0.4), verdict(0.9, top=0.8)
    assert failed(before, after) == []
    (check, *_) = checks_of(before, after, ALLOWED)
    assert (check.title, check.before, check.after) == ("Held-out photos named right", 0.4, 0.8)


def test_best_blend_that_agrees_enough_is_chosen() -> None:
    """One that finds more but forgets too much is passed by."""
    blends = [
        Blend(0.3, verdict(0.5, 0.95)),
        Blend(0.6, verdict(0.7, 0.85)),
        Blend(1.0, verdict(0.8, 0.5)),
    ]
    assert choose_blend(blends, verdict(0.4), ALLOWED).share == 0.6


def test_of_nearly_equal_blends_the_one_nearest_to_the_start_is_chosen() -> None:
    """A difference that is noise is not worth forgetting for."""
    blends = [Blend(0.5, verdict(0.698, 0.95)), Blend(0.9, verdict(0.7, 0.85))]
    assert choose_blend(blends, verdict(0.4), ALLOWED).share == 0.5


def test_where_all_forget_too_much_the_least_forgetful_is_chosen() -> None:
    """The gate will say the rest."""
    blends = [Blend(0.5, verdict(0.5, 0.6)), Blend(0.9, verdict(0.7, 0.1))]
    assert choose_blend(blends, verdict(0.4), ALLOWED).share == 0.5


def test_blend_is_the_straight_line_between_two_states() -> None:
    """Counters, which are no weights, are the end's."""
    start = {"weight": torch.tensor([0.0, 2.0]), "counter": torch.tensor(1)}
    end = {"weight": torch.tensor([1.0, 4.0]), "counter": torch.tensor(3)}
    between = lerped(start, end, 0.25)
    assert between["weight"].tolist() == [0.25, 2.5]
    assert between["counter"].item() == 3


def test_agreement_decides_between_steps_that_serve_the_pairs_alike() -> None:
    """A little more agreement outweighs nothing but noise; without pairs the last step is best."""
    assert verdict(0.700, 0.7).worth() > verdict(0.702, 0.5).worth()
    assert verdict(0.75, 0.5).worth() > verdict(0.70, 0.7).worth()
    assert verdict(None).worth(7) > verdict(None).worth(6)
