"""`/v1/jobs`, and the admin calls that make jobs of images."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import PlainTextResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from app.api import job_schemas, problems, schemas
from app.api.dependencies import Lanes, LanesDep, ServicesDep
from app.jobs import importing, reindex
from app.output import one_line
from app.services import Services
from index import DEFAULT_COLLECTION, Job, JobRecord

router = APIRouter(prefix="/v1", tags=["jobs"])

POLL_SECONDS = 0.5
PING_SECONDS = 15
RECORDS_AT_ONCE = 500
# Of the largest number that a database counts to.
NUMBER_DIGITS = 18


@router.post("/admin/reindex", status_code=202)
async def start_reindex(
    response: Response,
    services: ServicesDep,
    lanes: LanesDep,
    body: job_schemas.ReindexIn | None = None,
) -> job_schemas.JobOut:
    """Embed every image again beside the live version, then switch; searches go on meanwhile."""
    wanted = body or job_schemas.ReindexIn()

    def enqueue() -> Job:
        return reindex.enqueue(services, wanted.model_version, is_to_go_live=wanted.promote)

    job = await lanes.read.run(enqueue)
    response.headers["Location"] = f"{services.settings.root_path}/v1/jobs/{job.id}"
    return job_out(job)


@router.post("/admin/import", status_code=202)
async def start_import(
    body: job_schemas.ImportIn, response: Response, services: ServicesDep, lanes: LanesDep
) -> job_schemas.JobOut:
    """Add the pictures of folders that lie beside the service, below an allowed root."""
    collection = body.collection or DEFAULT_COLLECTION
    job = await lanes.read.run(importing.enqueue, services, body.paths, collection)
    response.headers["Location"] = f"{services.settings.root_path}/v1/jobs/{job.id}"
    return job_out(job)


@router.get("/jobs")
async def list_jobs(
    services: ServicesDep,
    lanes: LanesDep,
    limit: schemas.Limit = 50,
    cursor: schemas.Cursor | None = None,
) -> job_schemas.JobListOut:
    """A page of jobs, newest first."""

    def read() -> job_schemas.JobListOut:
        page = services.jobs.page(limit=limit, cursor=cursor)
        return job_schemas.JobListOut(
            items=[job_out(job) for job in page.jobs], next_cursor=page.next_cursor
        )

    return await lanes.read.run(read)


@router.get("/jobs/{job_id}")
async def get_job(job_id: schemas.Id, services: ServicesDep, lanes: LanesDep) -> job_schemas.JobOut:
    """One job."""
    return job_out(await lanes.read.run(services.jobs.get, job_id))


@router.post("/jobs/{job_id}/cancel", status_code=202)
async def cancel_job(
    job_id: schemas.Id, services: ServicesDep, lanes: LanesDep
) -> job_schemas.JobOut:
    """Ask a job to stop."""
    return job_out(await lanes.read.run(services.jobs.request_cancel, job_id))


@router.post("/jobs/{job_id}/pause", status_code=202)
async def pause_job(
    job_id: schemas.Id,
    request: Request,
    services: ServicesDep,
    lanes: LanesDep,
    body: job_schemas.PauseIn | None = None,
) -> job_schemas.JobOut:
    """Keep a job from being done until it is resumed; who paused it and when is in the job."""
    caller = request.client.host if request.client else "somebody"
    by = (body or job_schemas.PauseIn()).by or caller
    return job_out(await lanes.read.run(partial(services.jobs.pause, job_id, by=by)))


@router.post("/jobs/{job_id}/resume", status_code=202)
async def resume_job(
    job_id: schemas.Id, services: ServicesDep, lanes: LanesDep
) -> job_schemas.JobOut:
    """Let a paused job go on where it was left."""
    return job_out(await lanes.read.run(services.jobs.resume, job_id))


@router.get("/jobs/{job_id}/records")
async def list_job_records(
    job_id: schemas.Id,
    services: ServicesDep,
    lanes: LanesDep,
    limit: schemas.Limit = 500,
    cursor: schemas.Cursor | None = None,
) -> job_schemas.JobRecordListOut:
    """What the job recorded on its way, oldest first: the points of its curves."""

    def read() -> job_schemas.JobRecordListOut:
        page = services.jobs.record_page(job_id, limit=limit, cursor=cursor)
        return job_schemas.JobRecordListOut(
            items=[_record_out(record) for record in page.records], next_cursor=page.next_cursor
        )

    return await lanes.read.run(read)


@router.get("/jobs/{job_id}/failures.tsv", response_class=PlainTextResponse)
async def download_failures(
    job_id: schemas.Id, services: ServicesDep, lanes: LanesDep
) -> PlainTextResponse:
    """What the job could not do, a line each with its reason, as a file to keep."""
    job = await lanes.read.run(services.jobs.get, job_id)
    failures = (job.result or {}).get("failures", [])
    lines = [("filename", "reason"), *((one["filename"], one["reason"]) for one in failures)]
    table = "".join(f"{one_line(name)}\t{one_line(reason)}\n" for name, reason in lines)
    name = f"{job.kind}-{job.id}-failures.tsv"
    return PlainTextResponse(
        table,
        media_type="text/tab-separated-values",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def follow_job(
    job_id: schemas.Id,
    services: ServicesDep,
    lanes: LanesDep,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> EventSourceResponse:
    """The job's state at each change, and every record, until it ends.

    A client that comes back with `Last-Event-ID` is sent the records that it has not seen, and then
    the present state unless it has seen that one.
    """
    await lanes.read.run(services.jobs.get, job_id)
    events = _events(job_id, _Seen.parse(last_event_id), services, lanes)
    return EventSourceResponse(events, ping=PING_SECONDS)


def job_out(job: Job) -> job_schemas.JobOut:
    """The wire form of a job."""
    return job_schemas.JobOut(
        id=job.id,
        kind=job.kind,
        state=job.state,
        progress=job_schemas.ProgressOut(done=job.done, total=job.total, unit=job.unit),
        message=job.message,
        result=job.result,
        problem=_problem(job),
        cancel_requested=job.cancel_requested,
        paused=_paused(job),
        attempts=job.attempts,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        updated_at=job.updated_at,
    )


def _paused(job: Job) -> job_schemas.PausedOut | None:
    if job.paused_at is None or job.paused_by is None:
        return None
    return job_schemas.PausedOut(by=job.paused_by, at=job.paused_at)


def _problem(job: Job) -> dict[str, Any] | None:
    if job.problem is None and job.state == "failed":
        # Nobody was left to write one.
        return problems.document(problems.INTERNAL, f"The job was given up: {job.message}.")
    return job.problem


def _record_out(record: JobRecord) -> job_schemas.JobRecordOut:
    return job_schemas.JobRecordOut(name=record.name, data=record.data, at=record.at)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a follower has been sent: the last record's number, and the state by its digest."""

    record: int = 0
    state: str = ""

    def __str__(self) -> str:
        return f"{self.record}.{self.state}"

    @classmethod
    def parse(cls, event_id: str | None) -> _Seen:
        """What an event's id tells; one that is none of ours tells that nothing was seen."""
        record, _, state = (event_id or "").partition(".")
        if not record.isascii() or not record.isdecimal() or len(record) > NUMBER_DIGITS:
            return cls()
        return cls(int(record), state)


async def _events(
    job_id: str, seen: _Seen, services: Services, lanes: Lanes
) -> AsyncIterator[ServerSentEvent]:
    while True:
        # The job is read before its records: when it has ended, they are all there.
        job = await lanes.read.run(services.jobs.get, job_id)
        read = partial(services.jobs.records, job_id, after=seen.record, limit=RECORDS_AT_ONCE)
        records = await lanes.read.run(read)
        for record in records:
            seen = replace(seen, record=record.number)
            data = _record_out(record).model_dump_json()
            yield ServerSentEvent(data, event="record", id=str(seen))
        if len(records) == RECORDS_AT_ONCE:
            continue
        data = job_out(job).model_dump_json()
        digest = sha256(data.encode()).hexdigest()[:16]
        if digest != seen.state:
            seen = replace(seen, state=digest)
            yield ServerSentEvent(data, event="job", id=str(seen))
        if job.finished_at is not None:
            return
        await anyio.sleep(POLL_SECONDS)
