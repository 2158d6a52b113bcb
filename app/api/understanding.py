"""`/v1/embeddings` and `/v1/classify`: what the live model makes of texts and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray

from app.api import classify_schemas, schemas
from app.api.body_caps import is_form
from app.api.dependencies import Lane, LanesDep, ServicesDep, form_schema, uploaded_form
from app.api.json_bodies import json_body, validated
from app.classifying import Asked, Question
from app.errors import FieldInvalid, RequestTooLarge
from app.services import Services
from index import EmbeddingRejected
from model import Classified

router = APIRouter(prefix="/v1", tags=["understanding"])

FILES_ALLOWED = 100
# Of the fields of a classification, those that may be given several times.
REPEATED = ("labels", "templates")
SINGLE = ("image_id", "probe", "threshold")


@router.post(
    "/embeddings",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schemas.TextsIn.model_json_schema()},
                **form_schema({}, required=["files"], file_field="files", is_batch=True)[
                    "requestBody"
                ]["content"],
            },
        }
    },
)
async def embed(request: Request, services: ServicesDep, lanes: LanesDep) -> schemas.EmbeddingsOut:
    """The embeddings of texts (JSON) or pictures (multipart), of unit length."""
    if is_form(request.headers):
        return await _embed_files(request, services, lanes.upload)
    body = await json_body(request, schemas.TextsIn)
    return await lanes.search.run(_embed_texts, body.texts, services)


@router.post(
    "/classify",
    openapi_extra=form_schema(
        {
            "image_id": {"type": "string", "description": "Instead of a file."},
            "labels": {"type": "array", "items": {"type": "string"}},
            "templates": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Sentences with {label} in them, or names of sets of such.",
            },
            "probe": {"type": "string", "description": "A saved probe, instead of labels."},
            "threshold": {
                "type": "string",
                "description": "A number from 0 to 1, or `auto`: says what is none of the labels.",
            },
        },
        required=[],
    ),
)
async def classify_image(
    request: Request, services: ServicesDep, lanes: LanesDep
) -> classify_schemas.ClassifyOut:
    """How likely each label describes the image, among the labels given or those of a probe."""
    if not is_form(request.headers):
        body = await json_body(request, classify_schemas.ClassifyFields)
        return await lanes.search.run(_classify, body, None, services)
    names = frozenset({*REPEATED, *SINGLE, *(f"{name}[]" for name in REPEATED)})
    async with uploaded_form(request, services, lanes.search, text_fields=names) as form:
        given: dict[str, Any] = {}
        for name in REPEATED:
            values = form.fields.get(name, []) + form.fields.get(f"{name}[]", [])
            if values:
                given[name] = values
        for name in SINGLE:
            if (value := form.one(name)) is not None:
                given[name] = value
        fields = validated(classify_schemas.ClassifyFields, given)
        path = form.files[0].path if form.files else None
        return await lanes.search.run_inside(_classify, fields, path, services)


def _embed_texts(texts: list[str], services: Services) -> schemas.EmbeddingsOut:
    generation = services.live.generation
    embedded = generation.queue.embed_texts(texts)
    warnings = [
        f"Text {position} was cut to the model's context length."
        for position, text in enumerate(embedded)
        if text.is_truncated
    ]
    vectors = np.stack([text.vector for text in embedded])
    return _embeddings_out(vectors, generation.version.id, warnings)


async def _embed_files(request: Request, services: Services, lane: Lane) -> schemas.EmbeddingsOut:
    def embedded(paths: list[Path]) -> schemas.EmbeddingsOut:
        generation = services.live.generation
        queue = generation.queue
        futures = [
            queue.submit_pixels(services.pictures.pixels(path, queue.encoder)) for path in paths
        ]
        vectors = np.stack([future.result() for future in futures])
        return _embeddings_out(vectors, generation.version.id, [])

    async with uploaded_form(
        request,
        services,
        lane,
        text_fields=frozenset(),
        max_files=FILES_ALLOWED,
        file_field="files",
        is_batch=True,
    ) as form:
        if not form.files:
            raise FieldInvalid("/files", "send at least one file")
        if any(file.is_too_large for file in form.files):
            raise RequestTooLarge(services.settings.max_bytes, "BEHOLDER_MAX_BYTES")
        return await lane.run_inside(embedded, [file.path for file in form.files])


def _embeddings_out(
    vectors: NDArray[np.float32], model_version: str, warnings: list[str]
) -> schemas.EmbeddingsOut:
    _check_finite(vectors)
    return schemas.EmbeddingsOut(
        embeddings=vectors.astype(float).tolist(),
        dimension=vectors.shape[1],
        model_version=model_version,
        warnings=warnings,
    )


def _check_finite(numbers: NDArray[Any]) -> None:
    # JSON has no NaN; answering null for a number would only move the surprise to the reader.
    if not np.isfinite(numbers).all():
        raise EmbeddingRejected("it is not finite")


def classify_out(
    found: Classified, asked: Asked, *, at_most: int | None = None
) -> classify_schemas.ClassifyOut:
    """The wire form of what a picture shows, its best predictions or all."""
    return classify_schemas.ClassifyOut(
        predictions=[
            classify_schemas.PredictionOut(
                label=prediction.label, probability=prediction.probability, score=prediction.score
            )
            for prediction in found.predictions[:at_most]
        ],
        model_version=asked.model_version,
        probe=asked.question.probe,
        fit=found.fit,
        none_of_these=found.is_none,
        warnings=list(asked.warnings),
    )


def _classify(
    fields: classify_schemas.ClassifyFields, path: Path | None, services: Services
) -> classify_schemas.ClassifyOut:
    question = Question(fields.labels, fields.templates, fields.probe, fields.threshold)
    if (path is None) == (fields.image_id is None):
        raise FieldInvalid("/image_id", "give either a file or an image_id")
    generation = services.live.generation
    asked = Asked(services, generation, question)
    if path is not None:
        queue = generation.queue
        vector = queue.embed_pixels(services.pictures.pixels(path, queue.encoder))
    else:
        assert fields.image_id is not None
        vector = services.searcher.embedding(fields.image_id, generation)
    (found,) = asked.answers(vector[None])
    return classify_out(found, asked)
