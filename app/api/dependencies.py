"""What handlers ask for by type; built once by the lifespan, handed out here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, cast

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import Depends, Request

from app.api.forms import FormRules, ReceivedForm, received_form
from app.errors import Overloaded
from app.services import Services

Result = TypeVar("Result")

RETRY_AFTER_SECONDS = 2


class Lane:
    """A bounded number of threads for one kind of blocking work, and a bounded queue before it."""

    def __init__(self, threads: int, max_at_once: int) -> None:
        self._limiter = CapacityLimiter(threads)
        self._max_at_once = max_at_once
        self._at_once = 0

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """The result of `work`, done in a thread of this lane. Raises Overloaded."""
        async with self.place():
            return await self.run_inside(work, *arguments)

    async def run_inside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """As `run`, for one that holds a place already."""
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._limiter)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the lane, taken before anything is read. Raises Overloaded."""
        if self._at_once >= self._max_at_once:
            raise Overloaded(RETRY_AFTER_SECONDS)
        self._at_once += 1
        try:
            yield
        finally:
            self._at_once -= 1


@dataclass(frozen=True, slots=True)
class Lanes:
    """Searches, uploads and plain reads do not wait for each other."""

    search: Lane
    upload: Lane
    read: Lane = field(default_factory=lambda: Lane(threads=16, max_at_once=1_024))

    @classmethod
    def sized(cls, *, max_uploads_at_once: int, max_waiting: int) -> Lanes:
        """Lanes for these bounds."""
        # An upload's thread waits for the model most of the time: as many as fill a batch.
        return cls(
            search=Lane(threads=32, max_at_once=max_waiting),
            upload=Lane(threads=24, max_at_once=max_uploads_at_once),
        )


# Asynchronous although they wait for nothing: FastAPI would send plain functions to threads, which
# costs each request two hops.
async def _services(request: Request) -> Services:
    return cast("Services", request.state.services)


async def _lanes(request: Request) -> Lanes:
    return cast("Lanes", request.state.lanes)


ServicesDep = Annotated[Services, Depends(_services)]
"""The services of this process."""

LanesDep = Annotated[Lanes, Depends(_lanes)]
"""The threads that blocking work runs in."""


@asynccontextmanager
async def uploaded_form(
    request: Request,
    services: Services,
    lane: Lane,
    *,
    text_fields: frozenset[str],
    max_files: int = 1,
    file_field: str = "file",
    is_batch: bool = False,
    max_file_bytes: int | None = None,
) -> AsyncIterator[ReceivedForm]:
    """The multipart form of a request, under the caps of the settings, in a place of `lane`.

    A file may have `max_file_bytes`, by default as many as an image.

    Raises Overloaded, MalformedForm, FieldInvalid, RequestTooLarge, StorageError.
    """
    rules = FormRules(
        file_field=file_field,
        text_fields=text_fields,
        max_file_bytes=max_file_bytes or services.settings.max_bytes,
        max_request_bytes=services.settings.max_request_bytes,
        max_files=max_files,
        is_batch=is_batch,
    )
    async with (
        lane.place(),
        received_form(request, services.blobs, rules, lane.run_inside) as form,
    ):
        yield form


def form_schema(
    fields: dict[str, dict[str, Any]],
    *,
    required: list[str],
    file_field: str = "file",
    is_batch: bool = False,
) -> dict[str, Any]:
    """What OpenAPI says of a form that a handler reads itself."""
    file: dict[str, Any] = {"type": "string", "format": "binary"}
    properties = {file_field: {"type": "array", "items": file} if is_batch else file, **fields}
    schema = {"type": "object", "properties": properties, "required": required}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }
