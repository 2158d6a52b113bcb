"""Jobs as they go over the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from app.api.schemas import STORABLE, Collection, Id, Incoming

ServerPath = Annotated[str, StringConstraints(min_length=1, max_length=4_096), STORABLE]


class ReindexIn(Incoming):
    """Which version to fill and promote; without one, a fresh version of the configured model."""

    model_version: Id | None = None
    promote: bool = Field(
        default=True, description="Whether to go live when every image is embedded."
    )


class ImportIn(Incoming):
    """Files and folders to import, and the collection they go to."""

    paths: list[ServerPath] = Field(
        min_length=1, max_length=100, description="Absolute paths below an allowed root."
    )
    collection: Collection | None = None


class ProgressOut(BaseModel):
    """How far a job is, in its unit."""

    done: int
    total: int | None
    unit: str


class PausedOut(BaseModel):
    """Who paused a job, and when."""

    by: str
    at: AwareDatetime


class PauseIn(Incoming):
    """Who pauses a job; by default the caller's address."""

    by: Annotated[str, StringConstraints(min_length=1, max_length=100), STORABLE] | None = None


class JobOut(BaseModel):
    """Long work."""

    id: str
    kind: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: ProgressOut
    message: str
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
    cancel_requested: bool
    paused: PausedOut | None
    attempts: int = Field(description="How many workers have begun it, but for orderly stops.")
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    updated_at: AwareDatetime


class JobRecordOut(BaseModel):
    """One entry of a job's log, the point of a curve say."""

    name: str
    data: dict[str, Any]
    at: AwareDatetime


class JobRecordListOut(BaseModel):
    """A part of a job's log, oldest first."""

    items: list[JobRecordOut]
    next_cursor: str | None


class JobListOut(BaseModel):
    """A page of jobs, newest first."""

    items: list[JobOut]
    next_cursor: str | None
