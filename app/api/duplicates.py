"""`/v1/duplicates`: groups of images that look alike, and what their owner decides."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api import duplicate_schemas, job_schemas, schemas
from app.api.dependencies import LanesDep, ServicesDep
from app.api.images import image_out
from app.api.jobs import job_out
from app.jobs import find_duplicates
from index import DuplicateGroup

router = APIRouter(prefix="/v1", tags=["duplicates"])


@router.post("/admin/find-duplicates", status_code=202)
async def start_finding_duplicates(
    response: Response, services: ServicesDep, lanes: LanesDep
) -> job_schemas.JobOut:
    """Compare every image that was not compared yet; searches and uploads go on meanwhile."""
    job = await lanes.read.run(find_duplicates.KIND.enqueue, services, {})
    response.headers["Location"] = f"{services.settings.root_path}/v1/jobs/{job.id}"
    return job_out(job)


@router.get("/duplicates")
async def list_duplicates(
    services: ServicesDep,
    lanes: LanesDep,
    grade: duplicate_schemas.Grade = "same",
    limit: schemas.Limit = 50,
    cursor: schemas.Cursor | None = None,
) -> duplicate_schemas.DuplicateListOut:
    """A page of groups of copies (`same`), or of crops and series (`similar`), oldest first."""

    def read() -> duplicate_schemas.DuplicateListOut:
        page = services.duplicates.page(grade=grade, limit=limit, cursor=cursor)
        root_path = services.settings.root_path
        return duplicate_schemas.DuplicateListOut(
            items=[group_out(group, root_path) for group in page.groups],
            next_cursor=page.next_cursor,
            total=page.total,
            uncompared=page.uncompared,
        )

    return await lanes.read.run(read)


@router.post("/duplicates/decide")
async def decide_about_duplicates(
    body: duplicate_schemas.DecisionIn, services: ServicesDep, lanes: LanesDep
) -> duplicate_schemas.DecisionOut:
    """Keep images beside each other, whatever is found later, and delete those named."""

    def decide() -> duplicate_schemas.DecisionOut:
        kept = services.duplicates.keep(list(dict.fromkeys(body.keep)))
        deleted = services.duplicates.delete(list(dict.fromkeys(body.delete)))
        return duplicate_schemas.DecisionOut(kept=kept, deleted=deleted)

    return await lanes.read.run(decide)


def group_out(group: DuplicateGroup, root_path: str) -> duplicate_schemas.DuplicateGroupOut:
    """The wire form of a group."""
    ids = {image.number: image.id for image in group.images}
    return duplicate_schemas.DuplicateGroupOut(
        grade=group.grade,
        size=group.size,
        images=[image_out(image, root_path) for image in group.images],
        pairs=[
            duplicate_schemas.NearDuplicateOut(
                image_ids=(ids[two.first_number], ids[two.second_number]),
                grade=two.grade,
                differing_bits=two.differing_bits,
                cosine=two.cosine,
            )
            for two in group.twos
            if two.first_number in ids and two.second_number in ids
        ],
    )
