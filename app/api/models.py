"""`/v1/models`: the model versions."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Response

from app.api import schemas
from app.api.dependencies import LanesDep, ServicesDep
from app.api.job_schemas import JobOut
from app.api.jobs import job_out
from app.api.tuning_schemas import PromoteIn
from app.jobs import add_model
from app.model_sources import allowed_source
from app.reports import remove_report
from index import Job, ModelVersion
from model import HubName

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
async def list_models(services: ServicesDep, lanes: LanesDep) -> schemas.ModelListOut:
    """Every model version, newest first."""
    versions = await lanes.read.run(services.versions.all)
    return schemas.ModelListOut(items=[model_out(version) for version in versions])


@router.get("/{version_id}")
async def get_model(
    version_id: schemas.Id, services: ServicesDep, lanes: LanesDep
) -> schemas.ModelOut:
    """One model version."""
    return model_out(await lanes.read.run(services.versions.get, version_id))


@router.post(
    "",
    status_code=201,
    responses={202: {"model": JobOut, "description": "It is fetched from the hub first."}},
)
async def register_model(
    body: schemas.ModelIn, response: Response, services: ServicesDep, lanes: LanesDep
) -> schemas.ModelOut | JobOut:
    """Make a version of a checkpoint; a reindex fills it, and promotes it unless told not to.

    A model of the hub is fetched by a job, whose result names the version.
    """

    def register() -> ModelVersion | Job:
        source = allowed_source(body.source, services.settings)
        if isinstance(source, HubName):
            return add_model.enqueue(
                services, source, architecture=body.architecture, image_size=body.image_size
            )
        return services.versions.register(
            source,
            origin="registered",
            architecture=body.architecture,
            image_size=body.image_size,
        )

    made = await lanes.read.run(register)
    place = "models" if isinstance(made, ModelVersion) else "jobs"
    response.headers["Location"] = f"{services.settings.root_path}/v1/{place}/{made.id}"
    if isinstance(made, ModelVersion):
        return model_out(made)
    response.status_code = 202
    return job_out(made)


@router.post("/rollback")
async def roll_back(services: ServicesDep, lanes: LanesDep) -> schemas.ModelOut:
    """Make the version live again that was before; nothing is embedded again."""
    return model_out(await lanes.read.run(services.versions.roll_back))


@router.post("/{version_id}/promote")
async def promote_model(
    version_id: schemas.Id,
    services: ServicesDep,
    lanes: LanesDep,
    body: PromoteIn | None = None,
) -> schemas.ModelOut:
    """Make a version live that has embedded every image.

    One whose last evaluation says that it is worse takes `force`, which its metrics then tell.
    """
    promote = partial(services.versions.promote, is_forced=body is not None and body.force)
    return model_out(await lanes.read.run(promote, version_id))


@router.delete("/{version_id}", status_code=204)
async def delete_model(version_id: schemas.Id, services: ServicesDep, lanes: LanesDep) -> None:
    """Remove a version that is not live, and free its embeddings."""
    await lanes.read.run(services.versions.discard, version_id)
    await lanes.read.run(remove_report, services.settings, version_id)


def model_out(version: ModelVersion) -> schemas.ModelOut:
    """The wire form of a model version."""
    return schemas.ModelOut(
        id=version.id,
        architecture=version.architecture,
        dimension=version.dimension,
        fingerprint=version.fingerprint,
        origin=version.origin,
        state=version.state,
        metrics=version.metrics,
        created_at=version.created_at,
        promoted_at=version.promoted_at,
    )
