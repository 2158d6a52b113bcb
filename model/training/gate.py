"""Whether a model may take another's place: better on held-out pairs, hardly worse elsewhere."""

from dataclasses import dataclass

from model.training.measures import Verdict


@dataclass(frozen=True, slots=True)
class AllowedFalls:
    """How far a figure may fall, as a share of 1.

    `agreement` is that of the first hits of everyday queries, `general_recall` the recall@10 of
    general pairs.
    """

    agreement: float = 0.5
    general_recall: float = 0.03


@dataclass(frozen=True, slots=True)
class Check:
    """One figure before and after, and whether the difference is allowed."""

    name: str
    title: str
    before: float
    after: float
    allowed: str
    passed: bool


def checks_of(before: Verdict, after: Verdict, allowed: AllowedFalls) -> tuple[Check, ...]:
    """What must hold for the model judged `after` to take the place of the one judged `before`.

    A figure that neither has is not checked: without held-out pairs nothing shows a gain, and the
    first check fails.
    """
    checks = [_gain(before, after)]
    least = 1 - allowed.agreement
    checks.append(
        Check(
            "agreement",
            "Everyday queries find what they found",
            before.agreement,
            after.agreement,
            f"may fall by {allowed.agreement:g}",
            after.agreement >= least,
        )
    )
    if before.general is not None and after.general is not None:
        old, new = before.general.recall_at_10, after.general.recall_at_10
        checks.append(
            Check(
                "general_recall",
                "Recall@10 on general pairs",
                old,
                new,
                f"may fall by {allowed.general_recall:g}",
                new >= old - allowed.general_recall,
            )
        )
    return tuple(checks)


def _gain(before: Verdict, after: Verdict) -> Check:
    if before.measures is None or after.measures is None:
        return Check(
            "domain_recall", "Held-out pairs (there are none)", 0, 0, "must rise", passed=False
        )
    is_labelled = after.measures.zero_shot_top_1 is not None
    title = "Held-out photos named right" if is_labelled else "Recall on held-out pairs"
    old, new = before.measures.goal, after.measures.goal
    return Check("domain_recall", title, old, new, "must rise", new > old)
