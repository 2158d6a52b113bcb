"""`/v1/probes`: classifiers trained on the owner's labels; `/v1/admin/probes` trains them."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Response

from app.api import job_schemas, probe_schemas, schemas
from app.api.dependencies import LanesDep, ServicesDep
from app.api.jobs import job_out
from app.jobs import train_probe
from index import ProbeRecord

router = APIRouter(prefix="/v1", tags=["understanding"])

# Those that have a member of their own.
SHOWN = {"labels", "accuracy", "examples", "held_out", "tells_none_of_these"}


@router.post("/admin/probes", status_code=202)
async def start_probe_training(
    body: probe_schemas.ProbeIn, response: Response, services: ServicesDep, lanes: LanesDep
) -> job_schemas.JobOut:
    """Train a probe on the stored pairs whose texts are labels, by the live model's embeddings."""
    enqueue = partial(
        train_probe.enqueue, shots=body.shots, seed=body.seed, collection=body.collection
    )
    job = await lanes.read.run(enqueue, services, body.name)
    response.headers["Location"] = f"{services.settings.root_path}/v1/jobs/{job.id}"
    return job_out(job)


@router.get("/probes")
async def list_probes(services: ServicesDep, lanes: LanesDep) -> probe_schemas.ProbeListOut:
    """Every probe, by name."""
    fingerprint = services.live.generation.version.fingerprint
    found = await lanes.read.run(services.probes.all)
    return probe_schemas.ProbeListOut(items=[probe_out(one, fingerprint) for one in found])


@router.get("/probes/{name}")
async def get_probe(
    name: schemas.Id, services: ServicesDep, lanes: LanesDep
) -> probe_schemas.ProbeOut:
    """One probe: its labels, and how well it did."""
    fingerprint = services.live.generation.version.fingerprint
    return probe_out(await lanes.read.run(services.probes.get, name), fingerprint)


@router.delete("/probes/{name}", status_code=204)
async def delete_probe(name: schemas.Id, services: ServicesDep, lanes: LanesDep) -> None:
    """Remove a probe; the pairs it was trained on stay."""
    await lanes.read.run(services.probes.delete, name)


def probe_out(record: ProbeRecord, live_fingerprint: str) -> probe_schemas.ProbeOut:
    """The wire form of a probe, beside the model that is live."""
    return probe_schemas.ProbeOut(
        name=record.name,
        fingerprint=record.fingerprint,
        is_usable=record.fingerprint == live_fingerprint,
        **{name: record.details[name] for name in SHOWN},
        details={name: value for name, value in record.details.items() if name not in SHOWN},
        created_at=record.created_at,
    )
