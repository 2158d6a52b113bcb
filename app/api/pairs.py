"""`/v1/pairs`: the owner's images with texts, to fine-tune on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from app.api import pair_schemas, schemas
from app.api.dependencies import LanesDep, ServicesDep, form_schema, uploaded_form
from app.api.forms import ReceivedForm
from app.api.json_bodies import validated
from app.errors import FieldInvalid
from app.services import Services
from index import (
    ImageName,
    NamedFile,
    Pair,
    PairCheck,
    PairsAdded,
    TableLine,
    opened_sources,
)

router = APIRouter(prefix="/v1/pairs", tags=["pairs"])

TEXT_FIELDS = frozenset({"collection", "format"})
MEDIA_TYPES = {"tsv": "text/tab-separated-values", "jsonl": "application/jsonl"}
LINES_PER_CHUNK = 1_000


@router.post("")
async def add_pairs(
    body: pair_schemas.PairsIn, services: ServicesDep, lanes: LanesDep
) -> pair_schemas.PairsAddedOut:
    """Add pairs of stored images; a line of a refusal is the place in the list, from 1."""
    lines = [
        TableLine(
            number,
            (
                ImageName("id", pair.image_id)
                if pair.image_id is not None
                else ImageName("sha256", pair.sha256 or ""),
            ),
            (pair.text,),
        )
        for number, pair in enumerate(body.pairs, start=1)
    ]
    return added_out(await lanes.read.run(services.pair_importer.run, lines))


@router.post(
    "/import",
    openapi_extra=form_schema(
        {
            "collection": {"type": "string", "description": "Of the images that come with it."},
            "format": {"type": "string", "enum": ["tsv", "csv", "jsonl"]},
        },
        required=["file"],
        is_batch=True,
    ),
)
async def import_pairs(
    request: Request, services: ServicesDep, lanes: LanesDep
) -> pair_schemas.PairsAddedOut:
    """Add the pairs of a table, and pictures from a zip file beside it or around it.

    Send `file` once or twice: a TSV, CSV or JSONL, a zip file, or one of each. Bad lines and bad
    entries are listed and never stop the good ones; sent again, it adds nothing twice.
    """
    async with uploaded_form(
        request,
        services,
        lanes.upload,
        text_fields=TEXT_FIELDS,
        max_files=2,
        is_batch=True,
        max_file_bytes=services.settings.max_request_bytes,
    ) as form:
        if not form.files:
            raise FieldInvalid("/file", "send a table, a zip file, or both")
        fields = validated(
            pair_schemas.PairImportFields,
            {name: form.one(name) for name in form.fields},
        )
        return added_out(await lanes.upload.run_inside(_imported, services, form, fields))


@router.get("")
async def list_pairs(
    services: ServicesDep,
    lanes: LanesDep,
    limit: schemas.Limit = 50,
    cursor: schemas.Cursor | None = None,
    image_id: schemas.Id | None = None,
    split: Literal["train", "validation"] | None = None,
) -> pair_schemas.PairListOut:
    """A page of pairs, newest first; of one image or one side of the split if asked for."""

    def read() -> pair_schemas.PairListOut:
        page = services.pairs.page(limit=limit, cursor=cursor, image_id=image_id, side=split)
        root_path = services.settings.root_path
        return pair_schemas.PairListOut(
            items=[pair_out(pair, root_path) for pair in page.pairs],
            next_cursor=page.next_cursor,
            total=page.total,
        )

    return await lanes.read.run(read)


@router.get("/check")
async def check_pairs(services: ServicesDep, lanes: LanesDep) -> pair_schemas.PairCheckOut:
    """What is wrong with the pairs, before an hour is spent on training with them."""
    return check_out(await lanes.read.run(services.pairs.check))


@router.get("/export", response_class=StreamingResponse)
async def export_pairs(
    services: ServicesDep,
    format: Annotated[
        Literal["tsv", "jsonl"], Query(description="Tab-separated, or one JSON object a line.")
    ] = "tsv",
) -> StreamingResponse:
    """Every pair as a table that an import reads back."""
    return StreamingResponse(
        _joined(services.pairs.table(format)),
        media_type=f"{MEDIA_TYPES[format]}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="pairs.{format}"'},
    )


@router.delete("/{pair_id}", status_code=204)
async def delete_pair(pair_id: schemas.Id, services: ServicesDep, lanes: LanesDep) -> None:
    """Remove a pair; its image stays."""
    await lanes.read.run(services.pairs.delete, pair_id)


def pair_out(pair: Pair, root_path: str) -> pair_schemas.PairOut:
    """The wire form of a pair; `root_path` is the prefix that a proxy puts before URLs."""
    at = f"{root_path}/v1/images/{pair.image_id}"
    return pair_schemas.PairOut(
        id=pair.id,
        image_id=pair.image_id,
        sha256=pair.sha256,
        text=pair.text,
        split=pair.side,
        created_at=pair.created_at,
        image=pair_schemas.PairImageOut(
            filename=pair.filename,
            urls=schemas.ImageUrls(file=f"{at}/file", thumbnail=f"{at}/thumbnail"),
        ),
    )


def added_out(outcome: PairsAdded) -> pair_schemas.PairsAddedOut:
    """The wire form of what became of the lines."""
    return pair_schemas.PairsAddedOut(
        added=outcome.added,
        existing=outcome.existing,
        images_added=outcome.images_added,
        files_unused=outcome.files_unused,
        refused_total=outcome.refused_total,
        refused=[pair_schemas.RefusedOut(**asdict(one)) for one in outcome.refused],
    )


def check_out(check: PairCheck) -> pair_schemas.PairCheckOut:
    """The wire form of a check."""
    return pair_schemas.PairCheckOut(
        pairs=check.pairs,
        images=check.images,
        texts=check.texts,
        train_images=check.train_images,
        validation_images=check.validation_images,
        is_trainable=check.is_trainable,
        findings=[pair_schemas.FindingOut(**asdict(finding)) for finding in check.findings],
    )


def _imported(
    services: Services, form: ReceivedForm, fields: pair_schemas.PairImportFields
) -> PairsAdded:
    with opened_sources(
        [NamedFile(file.path, file.filename) for file in form.files],
        format=fields.format,
        roots=services.settings.picture_roots,
        collection=fields.collection,
    ) as sources:
        return services.pair_importer.run(sources.lines, sources.pictures)


def _joined(lines: Iterator[str]) -> Iterator[str]:
    """Chunks of many lines, since each is sent for itself."""
    waiting: list[str] = []
    for line in lines:
        waiting.append(line)
        if len(waiting) == LINES_PER_CHUNK:
            yield "".join(waiting)
            waiting.clear()
    yield "".join(waiting)
