"""`/v1/jobs` and the admin calls that make them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from app.api import problems, schemas
from app.api.dependencies import Lanes, LanesDep, ServicesDep
from app.jobs import reindex
from app.services import Services
from index import Job

router = APIRouter(prefix="/v1", tags=["jobs"])

POLL_SECONDS = 0.5
PING_SECONDS = 15


@router.post("/admin/reindex", status_code=202)
async def start_reindex(
    response: Response,
    services: ServicesDep,
    lanes: LanesDep,
    body: schemas.ReindexIn | None = None,
) -> schemas.JobOut:
    """Embed every image again beside the live version, then switch; searches go on meanwhile."""
    wanted = body or schemas.ReindexIn()

    def enqueue() -> Job:
        return reindex.enqueue(services, wanted.model_version, is_to_go_live=wanted.promote)

    job = await lanes.read.run(enqueue)
    response.headers["Location"] = f"{services.settings.root_path}/v1/jobs/{job.id}"
    return job_out(job)


@router.get("/jobs")
async def list_jobs(
    services: ServicesDep,
    lanes: LanesDep,
    limit: schemas.Limit = 50,
    cursor: schemas.Cursor | None = None,
) -> schemas.JobListOut:
    """A page of jobs, newest first."""

    def read() -> schemas.JobListOut:
        page = services.jobs.page(limit=limit, cursor=cursor)
        return schemas.JobListOut(
            items=[job_out(job) for job in page.jobs], next_cursor=page.next_cursor
        )

    return await lanes.read.run(read)


@router.get("/jobs/{job_id}")
async def get_job(job_id: schemas.Id, services: ServicesDep, lanes: LanesDep) -> schemas.JobOut:
    """One job."""
    return job_out(await lanes.read.run(services.jobs.get, job_id))


@router.post("/jobs/{job_id}/cancel", status_code=202)
async def cancel_job(job_id: schemas.Id, services: ServicesDep, lanes: LanesDep) -> schemas.JobOut:
    """Ask a job to stop."""
    return job_out(await lanes.read.run(services.jobs.request_cancel, job_id))


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def follow_job(
    job_id: schemas.Id,
    services: ServicesDep,
    lanes: LanesDep,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> EventSourceResponse:
    """The job's state, now and at each change, until it ends.

    Each event holds the whole state, so a client that comes back with `Last-Event-ID` misses
    nothing: it gets the present state unless that is the one it has seen.
    """
    first = await lanes.read.run(services.jobs.get, job_id)
    return EventSourceResponse(_events(first, last_event_id, services, lanes), ping=PING_SECONDS)


def job_out(job: Job) -> schemas.JobOut:
    """The wire form of a job."""
    return schemas.JobOut(
        id=job.id,
        kind=job.kind,
        state=job.state,
        progress=schemas.ProgressOut(done=job.done, total=job.total, unit=job.unit),
        message=job.message,
        result=job.result,
        problem=_problem(job),
        cancel_requested=job.cancel_requested,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        updated_at=job.updated_at,
    )


def _problem(job: Job) -> dict[str, Any] | None:
    if job.problem is None and job.state == "failed":
        # Nobody was left to write one.
        return problems.document(problems.INTERNAL, f"The job was given up: {job.message}.")
    return job.problem


async def _events(
    job: Job, last_event_id: str | None, services: Services, lanes: Lanes
) -> AsyncIterator[ServerSentEvent]:
    seen = last_event_id
    while True:
        event_id = job.updated_at.isoformat()
        if event_id != seen:
            yield ServerSentEvent(job_out(job).model_dump_json(), event="job", id=event_id)
            seen = event_id
        if job.finished_at is not None:
            return
        await anyio.sleep(POLL_SECONDS)
        job = await lanes.read.run(services.jobs.get, job.id)
