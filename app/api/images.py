"""`/v1/images`: upload, list, read, change, delete, and the files themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

import index
from app.api import problems, schemas
from app.api.dependencies import Lanes, LanesDep, ServicesDep, form_schema, uploaded_form
from app.api.forms import ReceivedFile, ReceivedForm
from app.api.image_archives import entries_added
from app.api.stored_files import stored_file
from app.errors import AppError, FieldInvalid
from app.services import Services
from index import DEFAULT_COLLECTION, Added, ImageRecord, Upload, printable_name
from model import ImageTooLarge, ModelError

router = APIRouter(prefix="/v1/images", tags=["images"])

TEXT_FIELDS = frozenset({"tags", "caption", "metadata", "collection", "sha256"})
FORM_FIELDS: dict[str, dict[str, Any]] = {
    "tags": {"type": "array", "items": {"type": "string"}},
    "caption": {"type": "string"},
    "metadata": {"type": "string", "description": "A JSON object."},
    "collection": {"type": "string", "default": DEFAULT_COLLECTION},
}
DIGEST_FIELD = {"sha256": {"type": "string", "description": "Refuse the file unless it has it."}}
SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def image_out(
    image: ImageRecord, root_path: str, *, is_new: bool | None = None
) -> schemas.ImageOut:
    """The wire form of a stored image; `root_path` is the prefix that a proxy puts before URLs."""
    return schemas.ImageOut(
        id=image.id,
        sha256=image.sha256,
        created=is_new,
        filename=image.filename,
        format=image.format,
        width=image.width,
        height=image.height,
        bytes=image.size_bytes,
        taken_at=image.taken_at,
        tags=list(image.tags),
        caption=image.caption,
        metadata=image.metadata,
        collection=image.collection,
        created_at=image.created_at,
        urls=schemas.ImageUrls(
            file=f"{root_path}/v1/images/{image.id}/file",
            thumbnail=f"{root_path}/v1/images/{image.id}/thumbnail",
        ),
    )


@router.post(
    "",
    status_code=201,
    response_model_exclude_none=False,
    responses={200: {"model": schemas.ImageOut, "description": "The bytes were stored already."}},
    openapi_extra=form_schema(FORM_FIELDS | DIGEST_FIELD, required=["file"]),
)
async def upload_image(
    request: Request, response: Response, services: ServicesDep, lanes: LanesDep
) -> schemas.ImageOut:
    """Store one image; it is searchable and durable before the answer is sent."""
    async with uploaded_form(request, services, lanes.upload, text_fields=TEXT_FIELDS) as form:
        if not form.files:
            raise FieldInvalid("/file", "send a file")
        file = form.files[0]
        expected = form.one("sha256")
        if expected is not None and not SHA256.fullmatch(expected):
            raise FieldInvalid("/sha256", "give 64 hexadecimal digits")
        if expected is not None and expected.lower() != file.sha256:
            raise index.DigestMismatch(file.path, expected, file.sha256)
        upload = _upload(file, _words(form))
        added = await lanes.upload.run_inside(services.indexer.add, upload)
    response.status_code = 201 if added.is_new else 200
    response.headers["Location"] = f"{services.settings.root_path}/v1/images/{added.image.id}"
    return image_out(added.image, services.settings.root_path, is_new=added.is_new)


@router.post(
    "/batch",
    openapi_extra=form_schema(FORM_FIELDS, required=["files"], file_field="files", is_batch=True),
)
async def upload_batch(
    request: Request, services: ServicesDep, lanes: LanesDep
) -> schemas.BatchOut:
    """Store many images; one bad file never fails the good ones.

    A zip file stands for the pictures in it: each is an item of its own.
    """
    async with uploaded_form(
        request,
        services,
        lanes.upload,
        text_fields=TEXT_FIELDS - {"sha256"},
        max_files=services.settings.max_batch_files,
        file_field="files",
        is_batch=True,
    ) as form:
        if not form.files:
            raise FieldInvalid("/files", "send at least one file")
        words = _words(form)
        items = await _add_all(form.files, words, services, lanes)
    return schemas.BatchOut(items=items)


@router.get("")
async def list_images(
    services: ServicesDep,
    lanes: LanesDep,
    limit: schemas.Limit = 50,
    cursor: schemas.Cursor | None = None,
    collection: schemas.Collections = (),
    filter: Annotated[
        schemas.Text | None,
        Query(max_length=10_000, description="A filter as JSON, see `/v1/search`."),
    ] = None,
) -> schemas.ImageListOut:
    """A page of images, newest first."""

    def read() -> index.ImagePage:
        where = index.condition(_json(filter, "/filter"), collection)
        return services.library.page(limit=limit, cursor=cursor, where=where)

    page = await lanes.read.run(read)
    return schemas.ImageListOut(
        items=[image_out(image, services.settings.root_path) for image in page.images],
        next_cursor=page.next_cursor,
        total=page.total,
    )


@router.get("/{image_id}")
async def get_image(
    image_id: schemas.Id, services: ServicesDep, lanes: LanesDep
) -> schemas.ImageOut:
    """One image."""
    image = await lanes.read.run(services.library.get, image_id)
    return image_out(image, services.settings.root_path)


@router.patch("/{image_id}")
async def patch_image(
    image_id: schemas.Id, patch: schemas.ImagePatch, services: ServicesDep, lanes: LanesDep
) -> schemas.ImageOut:
    """Change the owner's words by a JSON merge patch."""

    def change() -> ImageRecord:
        def patched(image: ImageRecord) -> index.Words:
            given = patch.model_fields_set
            return index.Words(
                tags=tuple(patch.tags or ()) if "tags" in given else image.tags,
                caption=patch.caption if "caption" in given else image.caption,
                metadata=merged(image.metadata, patch.metadata)
                if "metadata" in given
                else image.metadata,
            )

        return services.indexer.update(image_id, patched)

    return image_out(await lanes.read.run(change), services.settings.root_path)


@router.delete("/{image_id}", status_code=204)
async def delete_image(image_id: schemas.Id, services: ServicesDep, lanes: LanesDep) -> None:
    """Remove an image: from the moment of the answer it is found no more."""
    await lanes.read.run(services.indexer.delete, image_id)


@router.get("/{image_id}/file", response_class=FileResponse)
async def get_file(
    image_id: schemas.Id, request: Request, services: ServicesDep, lanes: LanesDep
) -> Response:
    """The bytes as they were uploaded; takes ranges."""
    image = await lanes.read.run(services.library.get, image_id)
    stored = await lanes.read.run(services.library.stored, image)
    return stored_file(
        request,
        stored,
        etag=image.sha256,
        media_type=image.media_type,
        filename=image.filename,
    )


@router.get("/{image_id}/thumbnail", response_class=FileResponse)
async def get_thumbnail(
    image_id: schemas.Id,
    request: Request,
    services: ServicesDep,
    lanes: LanesDep,
    size: Annotated[
        int, Query(ge=1, le=4_096, description="Longest side in pixels; a kept size is given.")
    ] = index.THUMBNAIL_SIZE,
) -> Response:
    """A WebP thumbnail, upright."""
    image = await lanes.read.run(services.library.get, image_id)
    path = await lanes.read.run(services.library.thumbnail, image, size)
    return stored_file(request, path, etag=path.name, media_type="image/webp")


def merged(target: Mapping[str, Any], patch: Mapping[str, Any] | None) -> dict[str, Any]:
    """`target` with a JSON merge patch applied (RFC 7396)."""
    if patch is None:
        return {}
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _words(form: ReceivedForm) -> tuple[index.Words, str]:
    """The owner's words of a form, and the collection."""
    written = form.one("metadata")
    metadata = {} if written is None else _json(written, "/metadata")
    if not isinstance(metadata, dict):
        raise FieldInvalid("/metadata", "it is not a JSON object")
    collection = (form.one("collection") or DEFAULT_COLLECTION).strip() or DEFAULT_COLLECTION
    tags = tuple(form.fields.get("tags", []))
    return index.Words(tags, form.one("caption"), metadata), collection


def _json(written: str | None, pointer: str) -> Any:
    try:
        return None if written is None else json.loads(written)
    except (ValueError, RecursionError) as error:
        raise FieldInvalid(pointer, "it is not JSON") from error


def _upload(file: ReceivedFile, words: tuple[index.Words, str]) -> Upload:
    return Upload(
        path=file.path,
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        filename=file.filename,
        collection=words[1],
        words=words[0],
    )


async def _add_all(
    files: list[ReceivedFile],
    words: tuple[index.Words, str],
    services: Services,
    lanes: Lanes,
) -> list[schemas.BatchItemOut]:
    def add(file: ReceivedFile) -> Added:
        if file.is_too_large:
            raise ImageTooLarge(
                limit=services.settings.max_bytes,
                setting="BEHOLDER_MAX_BYTES",
                size_bytes=file.size_bytes,
            )
        return services.indexer.add(_upload(file, words))

    items: dict[int, list[schemas.BatchItemOut]] = {}

    def item(name: str, outcome: Added | Exception) -> schemas.BatchItemOut:
        return _item(name, outcome, services.settings.root_path)

    async def one(position: int, file: ReceivedFile) -> None:
        if not file.is_too_large and await lanes.upload.run_inside(index.is_archive, file.path):
            items[position] = await entries_added(file, words, services, lanes.upload, item)
            return
        try:
            added: Added | Exception = await lanes.upload.run_inside(add, file)
        except (AppError, index.RetrievalError, ModelError) as error:
            added = error
        items[position] = [item(file.filename, added)]

    async with anyio.create_task_group() as group:
        for position, file in enumerate(files):
            group.start_soon(one, position, file)
    return [item for position in range(len(files)) for item in items[position]]


def _item(filename: str, outcome: Added | Exception, root_path: str) -> schemas.BatchItemOut:
    name = printable_name(filename)
    if isinstance(outcome, Exception):
        problem = problems.problem_of(outcome)
        return schemas.BatchItemOut(filename=name, status="rejected", problem=problem)
    return schemas.BatchItemOut(
        filename=name,
        status="created" if outcome.is_new else "exists",
        image=image_out(outcome.image, root_path, is_new=outcome.is_new),
    )
