"""Errors as RFC 9457 problem documents: one table, one builder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import index
import model
from app import errors as app_errors
from app.errors import AppError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "urn:beholder:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem: its stable name, its status and its title."""

    name: str
    status: int
    title: str


# The nearest class of an error's own line of classes decides; each base stands for what is new.
PROBLEM_TYPES: dict[type[Exception], ProblemType] = {
    model.ImageTooLarge: ProblemType("image-too-large", 413, "The image is too large"),
    model.UnsupportedFormat: ProblemType(
        "unsupported-format", 415, "The image format is not supported"
    ),
    model.EmptyImage: ProblemType("empty-image", 422, "The file is empty"),
    model.DamagedImage: ProblemType("damaged-image", 422, "The image is damaged"),
    model.ImageError: ProblemType("bad-image", 422, "The image can't be used"),
    model.EmptyText: ProblemType("empty-text", 422, "The text is empty"),
    model.TextOverContext: ProblemType("text-too-long", 422, "The text is too long"),
    model.TextTooLong: ProblemType("text-too-long", 422, "The text is too long"),
    model.TextError: ProblemType("bad-text", 422, "The text can't be used"),
    model.LabelError: ProblemType("bad-labels", 422, "The labels can't be used"),
    model.QueueFull: ProblemType("busy", 503, "The service is busy"),
    model.CheckpointNotFound: ProblemType(
        "checkpoint-not-found", 422, "There is no such checkpoint"
    ),
    model.HubModelNotFound: ProblemType("hub-model-not-found", 422, "The hub has no such model"),
    model.HubAccessDenied: ProblemType("hub-access-denied", 422, "The hub refuses the model"),
    model.HubUnreachable: ProblemType("hub-unreachable", 503, "The hub can't be asked"),
    model.HubInterrupted: ProblemType("hub-unreachable", 503, "The hub can't be asked"),
    model.HubStorageFull: ProblemType("storage-full", 507, "The storage is full"),
    model.HubCacheUnusable: ProblemType("storage-unavailable", 503, "The storage can't be used"),
    model.CheckpointError: ProblemType("bad-checkpoint", 422, "The checkpoint can't be used"),
    model.TrainingError: ProblemType("training-failed", 422, "The training failed"),
    index.NotFound: ProblemType("not-found", 404, "There is no such thing"),
    index.StorageFull: ProblemType("storage-full", 507, "The storage is full"),
    index.DigestMismatch: ProblemType("digest-mismatch", 422, "The bytes are not those announced"),
    index.MissingFile: ProblemType("file-missing", 410, "The image's file is missing"),
    index.StorageError: ProblemType("storage-unavailable", 503, "The storage can't be used"),
    index.DatabaseUnavailable: ProblemType(
        "database-unavailable", 503, "The database does not answer"
    ),
    index.IndexUnavailable: ProblemType(
        "index-unavailable", 503, "The vector index does not answer"
    ),
    index.EmbeddingRejected: ProblemType(
        "embedding-rejected", 422, "The model can't embed this image"
    ),
    index.TextRejected: ProblemType("text-rejected", 422, "A text can't be stored"),
    index.TableError: ProblemType("bad-table", 422, "The table can't be read"),
    index.ArchiveError: ProblemType("bad-archive", 422, "The archive can't be read"),
    index.FilterError: ProblemType("bad-filter", 422, "The filter can't be read"),
    index.CursorError: ProblemType("bad-cursor", 422, "The cursor can't be used"),
    index.QueryError: ProblemType("bad-query", 422, "The query can't be answered"),
    index.NotBetter: ProblemType("not-better", 409, "The model version is not better"),
    index.ProbeOfAnotherModel: ProblemType(
        "probe-of-another-model", 409, "The probe was trained on another model"
    ),
    index.CollectionClosed: ProblemType(
        "collection-closed", 409, "The collection takes no uploads"
    ),
    index.CollectionNotEmpty: ProblemType("collection-not-empty", 409, "The collection has images"),
    index.BackupDamaged: ProblemType("bad-backup", 422, "The backup can't be used"),
    index.Conflict: ProblemType("conflict", 409, "The present state forbids this"),
    app_errors.RequestTooLarge: ProblemType("request-too-large", 413, "The request is too large"),
    app_errors.MalformedForm: ProblemType("malformed-form", 400, "The form can't be read"),
    app_errors.FieldInvalid: ProblemType("invalid-request", 422, "The request is invalid"),
    app_errors.Overloaded: ProblemType("busy", 503, "The service is busy"),
}
INVALID_REQUEST = PROBLEM_TYPES[app_errors.FieldInvalid]
INTERNAL = ProblemType("internal", 500, "Something went wrong here")


def problem_type(error: Exception) -> ProblemType:
    """The kind of problem that an error is; `INTERNAL` for one that is not in the table."""
    for ancestor in type(error).__mro__:
        if ancestor in PROBLEM_TYPES:
            return PROBLEM_TYPES[ancestor]
    return INTERNAL


def problem_of(error: Exception) -> dict[str, Any]:
    """The problem document of an error of ours; an unknown error keeps its text to itself."""
    kind = problem_type(error.cause if isinstance(error, index.PartRefused) else error)
    if kind is INTERNAL:
        return document(kind, "The details are in the server's log.")
    pointer = getattr(error, "pointer", None)
    fields = None if pointer is None else [{"pointer": pointer, "detail": error.reason}]  # type: ignore[attr-defined]
    if isinstance(error, index.DigestMismatch):
        detail = f"The file has the SHA-256 {error.actual}, not {error.expected}."
        return document(kind, detail, [{"pointer": "/sha256", "detail": detail}])
    if isinstance(error, index.NotBetter):
        return document(kind, str(error)) | {"checks": list(error.checks)}
    if isinstance(error, index.StorageError):
        # The path is the server's business; the reason is what the reader can act on.
        return document(kind, f"The storage answered: {error.reason}.")
    return document(kind, str(error), fields)


def document(
    kind: ProblemType, detail: str, fields: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """A problem document; `fields` name the bad places as JSON pointers."""
    problem: dict[str, Any] = {
        "type": TYPE_BASE + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }
    return problem | ({"errors": fields} if fields else {})


def response(problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that carries a problem document."""
    return JSONResponse(
        problem, status_code=problem["status"], headers=headers, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Answer every error of `app` by a problem document."""

    async def ours(_request: Request, error: Exception) -> JSONResponse:
        kind = problem_type(error)
        if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("request_failed", problem=kind.name, reason=str(error))
        seconds = getattr(error, "retry_after_seconds", 5 if kind.status == 503 else None)
        headers = None if seconds is None else {"Retry-After": str(seconds)}
        return response(problem_of(error), headers)

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        fields = [{"pointer": _pointer(entry), "detail": entry["msg"]} for entry in error.errors()]
        shown = "; ".join(f"{field['pointer']}: {field['detail']}" for field in fields[:3])
        return response(document(INVALID_REQUEST, shown, fields[:100]))

    async def http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return response(document(_http_type(error.status_code), str(error.detail)), error.headers)

    async def no_such_method(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if (allowed := _allowed_methods(request)) is None:
            return await http(request, error)
        detail = f"{request.url.path} takes {allowed}, not {request.method}."
        return response(document(_http_type(error.status_code), detail), {"Allow": allowed})

    for base in (AppError, index.RetrievalError, model.ModelError):
        app.add_exception_handler(base, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(405, no_such_method)


def internal(request_id: str) -> JSONResponse:
    """The answer to an error that nobody foresaw."""
    return response(
        document(INTERNAL, f"The details are in the server's log under request {request_id}.")
    )


def _allowed_methods(request: Request) -> str | None:
    """What the Allow header says: all methods of the path (RFC 9110, section 10.2.1).

    The router knows those of the first route that fits alone.
    """
    route = request.scope.get("route")
    if route is None:
        return None
    methods = {method.upper() for method in request.app.openapi()["paths"].get(route.path, {})}
    methods |= set(route.methods)
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def _http_type(status: int) -> ProblemType:
    # The same kind of problem has one name, whether we found it or the framework.
    ours = {404: index.NotFound, 413: app_errors.RequestTooLarge}
    if status in ours:
        return PROBLEM_TYPES[ours[status]]
    phrase = HTTPStatus(status).phrase
    return ProblemType(phrase.lower().replace(" ", "-"), status, phrase)


def _pointer(entry: Mapping[str, Any]) -> str:
    location: tuple[int | str, ...] = entry["loc"]
    if entry["type"] == "json_invalid":
        # It names the character where reading ended, which is no place in a document.
        return ""
    # The first part says where (body, query, path); a pointer begins inside of it.
    parts = location[1:] if location and location[0] in {"body", "query", "path"} else location
    return reduce(index.member_pointer, parts, "")
