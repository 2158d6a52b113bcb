"""Fine-tuning and evaluating as they go over the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.schemas import Collection, Id, Incoming
from model import AllowedFalls, TrainedParts

_ALLOWED = AllowedFalls()


class AllowedIn(Incoming):
    """How far a figure may fall before a version is not promoted, as a share of 1."""

    agreement: float = Field(
        default=_ALLOWED.agreement,
        ge=0,
        le=1,
        description="Of everyday queries' first hits, those that may change.",
    )
    general_recall: float = Field(
        default=_ALLOWED.general_recall,
        ge=0,
        le=1,
        description="Of recall@10 on general pairs, where there are any.",
    )


class FineTuneIn(Incoming):
    """How to fine-tune; everything has a measured default."""

    start: Id | None = Field(
        default=None, description="The model version to start from; default is the live one."
    )
    trained: TrainedParts = Field(
        default="heads",
        description="What learns: the heads alone, blocks of the towers too, or matrices beside.",
    )
    steps: int | None = Field(
        default=None, ge=1, le=100_000, description="Default follows from the number of pairs."
    )
    batch_size: int | None = Field(default=None, ge=2, le=4_096)
    learning_rate: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**31)
    general_collection: Collection | None = Field(
        default=None,
        description="Pairs of images in this collection are no goal, but what they hold on to.",
    )
    promote: Literal["if_better", "never", "always"] = Field(
        default="if_better", description="Whether to go live afterwards; always is a forced one."
    )
    allowed: AllowedIn = AllowedIn()


class EvaluateIn(Incoming):
    """What to compare with what; by default the live version."""

    model_version: Id | None = None
    against: Id | None = None
    general_collection: Collection | None = None
    allowed: AllowedIn = AllowedIn()


class PromoteIn(Incoming):
    """Whether to promote a version that did worse than is allowed."""

    force: bool = False


class ReportOut(BaseModel):
    """What a fine-tune left to look at; `urls` are those of its drawings."""

    model_version: str
    program: str
    fingerprint: str
    data_sha256: str
    settings: dict[str, Any]
    pairs: dict[str, int]
    steps: int
    seconds: float
    stopped: Literal["finished", "early"]
    blend: float
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    agreement: float
    blends: list[dict[str, float]]
    curves: list[dict[str, Any]]
    queries: list[dict[str, Any]]
    unreadable: int
    urls: dict[str, str | None]
