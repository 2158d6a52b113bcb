"""Fine-tuning, evaluating, and the report that a fine-tune leaves."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from app.api import job_schemas, schemas, tuning_schemas
from app.api.dependencies import LanesDep, ServicesDep
from app.api.jobs import job_out
from app.jobs import evaluate, fine_tune
from app.reports import Drawing, drawing_of, read_report

router = APIRouter(prefix="/v1", tags=["models"])


@router.post("/admin/fine-tune", status_code=202)
async def start_fine_tune(
    response: Response,
    services: ServicesDep,
    lanes: LanesDep,
    body: tuning_schemas.FineTuneIn | None = None,
) -> job_schemas.JobOut:
    """Make a version of the stored pairs, embed every image by it, promote it if it is better."""
    wanted = body or tuning_schemas.FineTuneIn()
    job = await lanes.read.run(fine_tune.enqueue, services, wanted.model_dump(mode="json"))
    response.headers["Location"] = f"{services.settings.root_path}/v1/jobs/{job.id}"
    return job_out(job)


@router.post("/admin/evaluate", status_code=202)
async def start_evaluation(
    response: Response,
    services: ServicesDep,
    lanes: LanesDep,
    body: tuning_schemas.EvaluateIn | None = None,
) -> job_schemas.JobOut:
    """Compare a version with another on held-out pairs and everyday queries."""
    wanted = body or tuning_schemas.EvaluateIn()
    enqueue = partial(
        evaluate.enqueue,
        general_collection=wanted.general_collection,
        allowed=wanted.allowed.model_dump(),
    )
    job = await lanes.read.run(enqueue, services, wanted.model_version, wanted.against)
    response.headers["Location"] = f"{services.settings.root_path}/v1/jobs/{job.id}"
    return job_out(job)


@router.get("/models/{version_id}/report")
async def get_report(
    version_id: schemas.Id, services: ServicesDep, lanes: LanesDep
) -> tuning_schemas.ReportOut:
    """What the fine-tune that made a version left to look at."""
    report = await lanes.read.run(read_report, services.settings, version_id)
    return tuning_schemas.ReportOut.model_validate(report)


@router.get("/models/{version_id}/report/{drawing}.png", response_class=FileResponse)
async def get_drawing(
    version_id: schemas.Id, drawing: Drawing, services: ServicesDep, lanes: LanesDep
) -> FileResponse:
    """The curves of a fine-tune, or held-out queries with their hits before and after."""
    path = await lanes.read.run(drawing_of, services.settings, version_id, drawing)
    return FileResponse(path, media_type="image/png")
