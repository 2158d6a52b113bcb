"""What `/v1/admin/index` answers."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class IndexMeasuredOut(BaseModel):
    """What was measured when the index was tuned, against exact search over the same images."""

    recall_of_images: float = Field(description="Recall@10 of stored images as queries, 0 to 1.")
    recall_of_texts: float = Field(description="Recall@10 of texts: asked of late, or general.")
    self_recall: float = Field(description="Share of images that find themselves.")
    milliseconds: float = Field(description="Median of one query by one thread.")
    exact_milliseconds: float = Field(description="The same by exact search.")
    build_seconds: float
    size: int = Field(description="Images at that time.")
    at: datetime


class IndexGoalsOut(BaseModel):
    """What the index is tuned for, from the settings."""

    recall: float
    latency_ms: float
    kind: str


class VectorIndexOut(BaseModel):
    """The vector index of the process that answers."""

    model_version: str
    kind: str = Field(description="`exact`, `ivf`, `hnsw` or `milvus`.")
    parameters: dict[str, int | float | str]
    size: int
    removed: int = Field(description="Removed images whose room the next build reclaims.")
    memory_bytes: int
    measured: IndexMeasuredOut | None = Field(description="Null until it is tuned.")
    goals: IndexGoalsOut
    is_tuning: bool
    problem: str | None
