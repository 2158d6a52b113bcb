"""`/v1/search`: by sentence, by picture, by stored image, and by any weighted sum of them."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

import index
from app.api import schemas
from app.api.dependencies import LanesDep, ServicesDep, form_schema, uploaded_form
from app.api.images import image_out
from app.api.json_bodies import validated
from app.errors import FieldInvalid
from app.services import Services
from index import ImagePart, Part, PicturePart, SearchResult, TextPart

router = APIRouter(prefix="/v1/search", tags=["search"])

PICTURE_FIELDS = frozenset(
    {"text", "limit", "cursor", "min_score", "collection", "group_duplicates"}
)


@router.get("", response_model=schemas.SearchOut)
async def search_by_text(
    services: ServicesDep,
    lanes: LanesDep,
    text: Annotated[schemas.Text, Query(description="A sentence in any script.")],
    limit: schemas.Limit = 50,
    cursor: schemas.Cursor | None = None,
    min_score: schemas.Score | None = None,
    collection: schemas.Collections = (),
    group_duplicates: Annotated[
        bool | None, Query(description="Put copies of the same picture under the best hit of them.")
    ] = None,
) -> Response:
    """The images that a sentence describes."""
    query = index.Query(
        parts=[TextPart(text, pointer="/text")],
        limit=limit,
        cursor=cursor,
        min_score=min_score,
    )

    def answer() -> Response:
        result = services.collection_searcher.search(
            query, among=collection, stacks=group_duplicates
        )
        return _response(result, services)

    return await lanes.search.run(answer)


@router.post("", response_model=schemas.SearchOut)
async def search(body: schemas.SearchIn, services: ServicesDep, lanes: LanesDep) -> Response:
    """The images most like a composed query: texts, pictures and stored images, with weights."""

    def answer() -> Response:
        result = services.collection_searcher.search(
            index.Query(
                parts=[_part(part, position) for position, part in enumerate(body.query)],
                limit=body.limit,
                cursor=body.cursor,
                min_score=body.min_score,
                where=index.condition(body.filter, None),
            ),
            among=body.collection,
            stacks=body.group_duplicates,
        )
        return _response(result, services)

    return await lanes.search.run(answer)


@router.post(
    "/image",
    response_model=schemas.SearchOut,
    openapi_extra=form_schema(
        {
            "text": {"type": "string"},
            "limit": {"type": "integer", "default": 50},
            "cursor": {"type": "string"},
            "min_score": {"type": "number"},
            "collection": {"type": "array", "items": {"type": "string"}},
            "group_duplicates": {"type": "boolean"},
        },
        required=["file"],
    ),
)
async def search_by_picture(request: Request, services: ServicesDep, lanes: LanesDep) -> Response:
    """The images most like an uploaded picture, and a sentence if one is given with it."""
    async with uploaded_form(request, services, lanes.search, text_fields=PICTURE_FIELDS) as form:
        if not form.files:
            raise FieldInvalid("/file", "send a file")
        given: dict[str, Any] = {
            name: value
            for name in sorted(PICTURE_FIELDS - {"collection"})
            if (value := form.one(name))
        }
        given["collection"] = form.fields.get("collection", [])
        fields = validated(schemas.PictureSearchFields, given)

        def answer() -> Response:
            parts: list[Part] = [PicturePart(form.files[0].path, pointer="/file")]
            if fields.text is not None:
                parts.append(TextPart(fields.text, pointer="/text"))
            query = index.Query(
                parts=parts,
                limit=fields.limit,
                cursor=fields.cursor,
                min_score=fields.min_score,
            )
            result = services.collection_searcher.search(
                query, among=fields.collection, stacks=fields.group_duplicates
            )
            return _response(result, services)

        return await lanes.search.run_inside(answer)


def _response(result: SearchResult, services: Services) -> Response:
    """The answer as it is sent, made in the searching thread: a thousand hits take a while."""
    out = search_out(result, services.settings.root_path)
    return Response(out.model_dump_json(), media_type="application/json")


def _part(part: schemas.QueryPartIn, position: int) -> Part:
    pointer = f"/query/{position}"
    if part.text is not None:
        return TextPart(part.text, part.weight, f"{pointer}/text")
    if part.image_id is not None:
        return ImagePart(part.image_id, part.weight, f"{pointer}/image_id")
    assert part.image is not None, "the schema lets just one of the three through"
    try:
        content = base64.b64decode(part.image, validate=True)
    except (ValueError, binascii.Error) as error:
        raise FieldInvalid(f"{pointer}/image", "it is not base64") from error
    return PicturePart(content, part.weight, f"{pointer}/image")


def search_out(result: SearchResult, root_path: str) -> schemas.SearchOut:
    """The wire form of a page of hits."""
    timings = result.timings
    return schemas.SearchOut(
        hits=[
            schemas.HitOut(
                image=image_out(hit.image, root_path),
                score=hit.score,
                copies=[
                    schemas.CopyOut(image=image_out(copy.image, root_path), score=copy.score)
                    for copy in hit.copies
                ],
            )
            for hit in result.hits
        ],
        next_cursor=result.next_cursor,
        model_version=result.model_version,
        warnings=result.warnings,
        took_ms=schemas.TookOut(
            encode=round(timings.encode, 2),
            search=round(timings.search, 2),
            fetch=round(timings.fetch, 2),
            total=round(timings.total, 2),
        ),
    )
