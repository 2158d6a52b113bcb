"""`/v1/models`: the model versions."""

from __future__ import annotations

from fastapi import APIRouter

from app.api import schemas
from app.api.dependencies import LanesDep, ServicesDep
from index import ModelVersion

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
