"""Health, readiness, metrics."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.dependencies import LanesDep, ServicesDep
from app.services import Services
from index import DatabaseUnavailable, StorageError

log = structlog.get_logger()
router = APIRouter(tags=["operations"])

# Under this much space the next uploads are likely to be refused.
LOW_SPACE_BYTES = 200_000_000


@router.get("/livez")
async def livez() -> dict[str, str]:
    """Whether the process answers; asks nothing else of anyone."""
    return {"status": "alive"}


@router.get("/readyz", responses={503: {"description": "A part can't do its work."}})
async def readyz(services: ServicesDep, lanes: LanesDep) -> JSONResponse:
    """Whether every part can do its work, and what is wrong with those that can't.

    Warnings keep nothing from working.
    """
    checks = await lanes.read.run(_checks, services)
    is_ready = all(check == "ok" for check in checks.values())
    return JSONResponse(
        {
            "status": "ready" if is_ready else "not ready",
            "checks": checks,
            "warnings": services.warnings,
            "model_version": services.live.generation.version.id,
        },
        status_code=200 if is_ready else 503,
    )


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Everything measured, in Prometheus's text format."""
    return Response(generate_latest(request.state.registry), media_type=CONTENT_TYPE_LATEST)


def _checks(services: Services) -> dict[str, Any]:
    checks: dict[str, str] = {}
    try:
        services.library.count()
        checks["database"] = "ok"
    except DatabaseUnavailable as error:
        # Whoever asks is a stranger: addresses and paths are for the log.
        log.warning("database_unavailable", reason=error.reason)
        checks["database"] = "it does not answer"
    try:
        services.blobs.check_writable()
        free = services.blobs.free_bytes()
        checks["storage"] = (
            "ok" if free >= LOW_SPACE_BYTES else f"only {free // 1_000_000} MB are free"
        )
    except StorageError as error:
        log.warning("storage_unavailable", path=str(error.path), reason=error.reason)
        checks["storage"] = error.reason
    checks["index"] = "; ".join(services.live.problems) or "ok"
    return checks
