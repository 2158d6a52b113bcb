"""JSON read by hand, where one path takes JSON or a form."""

from __future__ import annotations

import json
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.errors import FieldInvalid

Body = TypeVar("Body", bound=BaseModel)


async def json_body(request: Request, kind: type[Body]) -> Body:
    """The body of a request as `kind`. Raises FieldInvalid, RequestValidationError."""
    try:
        content = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise FieldInvalid("", "send JSON, or multipart/form-data") from error
    return validated(kind, content)


def validated(kind: type[Body], content: object) -> Body:
    """`content` as `kind`. Raises RequestValidationError, as FastAPI does for a body."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise RequestValidationError(
            [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors()]
        ) from error
