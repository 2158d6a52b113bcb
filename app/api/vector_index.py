"""`/v1/admin/index`: what the vector index is, and tuning it anew."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from app.api import vector_index_schemas
from app.api.dependencies import LanesDep, ServicesDep
from index import IndexState

router = APIRouter(prefix="/v1/admin/index", tags=["operations"])


@router.get("")
async def get_vector_index(
    services: ServicesDep, lanes: LanesDep
) -> vector_index_schemas.VectorIndexOut:
    """Kind, parameters, measured recall, memory and build time of this process's index."""
    return _out(await lanes.read.run(services.tender.state))


@router.post("/tune", status_code=202)
async def tune_vector_index(
    services: ServicesDep, lanes: LanesDep
) -> vector_index_schemas.VectorIndexOut:
    """Build and tune this process's index anew in the background; the old one answers meanwhile."""
    services.tender.request()
    return _out(await lanes.read.run(services.tender.state))


def _out(state: IndexState) -> vector_index_schemas.VectorIndexOut:
    description = state.description
    measured = description.measured
    return vector_index_schemas.VectorIndexOut(
        model_version=state.model_version,
        kind=description.kind,
        parameters=dict(description.parameters),
        size=description.size,
        removed=description.removed,
        memory_bytes=description.memory_bytes,
        measured=(vector_index_schemas.IndexMeasuredOut(**asdict(measured)) if measured else None),
        goals=vector_index_schemas.IndexGoalsOut(
            recall=state.goals.recall,
            latency_ms=1e3 * state.goals.latency_seconds,
            kind=state.goals.kind,
        ),
        is_tuning=state.is_tuning,
        problem=state.problem,
    )
