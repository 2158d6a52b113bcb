"""The application: `create_app(settings)` and nothing at import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, TypedDict

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry, Gauge
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from app.api import (
    collections,
    duplicates,
    images,
    jobs,
    models,
    operations,
    pairs,
    probes,
    problems,
    search,
    tuning,
    understanding,
    vector_index,
)
from app.api.dependencies import Lanes
from app.api.description import describe_problems
from app.api.middleware import Bounded, Headed, Observed, Prefixed
from app.api.schemas import ProblemOut
from app.services import Services, open_services
from app.settings import Settings
from app.sweeping import Sweeper
from model import Encoder, load_encoder

VERSION = "0.1.0"
# A picture in base64 is a third larger than its bytes.
BASE64_GROWTH = 4 / 3
JSON_BYTES = 1_000_000


class State(TypedDict):
    """What the lifespan hands to every request."""

    services: Services
    lanes: Lanes
    registry: CollectorRegistry


def create_app(settings: Settings, *, load: Callable[[str], Encoder] = load_encoder) -> FastAPI:
    """The ASGI application; its lifespan opens the services and closes them."""
    registry = CollectorRegistry()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        context = open_services(settings, load=load)
        # Loading weights and reading the index take seconds, in which a signal must be heard.
        try:
            services = await run_in_threadpool(context.__enter__)
        except Exception as error:
            # Uvicorn keeps it to its own log; whoever runs the server wants to say it in a line.
            app.state.start_error = error
            raise
        try:
            _install_gauges(registry, services)
            lanes = Lanes.sized(
                max_uploads_at_once=settings.max_uploads_at_once, max_waiting=settings.max_waiting
            )
            with Sweeper(services.library, services.versions):
                yield State(services=services, lanes=lanes, registry=registry)
        finally:
            await run_in_threadpool(context.__exit__, None, None, None)

    app = FastAPIOffline(
        title="Beholder",
        version=VERSION,
        summary="Finds images by meaning.",
        lifespan=lifespan,
        responses={"default": {"model": ProblemOut, "description": "A problem (RFC 9457)."}},
        generate_unique_id_function=_operation_id,
    )
    app.state.start_error = None
    problems.install(app)
    for module in (
        images,
        collections,
        search,
        understanding,
        duplicates,
        pairs,
        probes,
        models,
        tuning,
        jobs,
        vector_index,
        operations,
    ):
        app.include_router(module.router)
    describe_problems(app)
    _install_page(app)
    largest_json = int(settings.max_bytes * BASE64_GROWTH) + JSON_BYTES
    app.add_middleware(Headed)
    app.add_middleware(
        Bounded, max_body_bytes=largest_json, max_pause_seconds=settings.max_pause_seconds
    )
    app.add_middleware(Observed, registry=registry)
    app.add_middleware(Prefixed, root_path=settings.root_path)
    return app


def _install_page(app: FastAPI) -> None:
    folder = resources.files("app") / "web"

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(str(folder / "index.html"), headers={"Cache-Control": "no-cache"})

    app.mount("/assets", _Assets(directory=str(folder / "assets")), name="assets")


class _Assets(StaticFiles):
    """The page's files, asked for anew at each visit, so that a new release is seen at once."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """The file, or 304 when the browser has it."""
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _install_gauges(registry: CollectorRegistry, services: Services) -> None:
    waiting = Gauge("beholder_model_waiting", "Pictures and texts waiting.", registry=registry)
    waiting.set_function(lambda: services.encoders.waiting)
    stored = Gauge("beholder_index_images", "Images in this process's index.", registry=registry)
    stored.set_function(lambda: len(services.live.generation.vectors))
    found = Gauge(
        "beholder_index_self_recall",
        "Share of images that found themselves after the last build.",
        registry=registry,
    )
    found.set_function(lambda: _self_recall(services))
    behind = Gauge("beholder_index_problems", "What keeps the index back.", registry=registry)
    behind.set_function(lambda: len(services.live.problems))


def _self_recall(services: Services) -> float:
    measured = services.tender.state().description.measured
    return 1.0 if measured is None else measured.self_recall


def _operation_id(route: APIRoute) -> str:
    return route.name
