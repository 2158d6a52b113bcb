"""The application's description of itself in OpenAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from app.api import problems


def describe_problems(app: FastAPI) -> None:
    """Give every error in the description of `app` the media type of problems.

    FastAPI gives each documented answer the media type of the good one.
    """
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for operations in described()["paths"].values():
                for operation in operations.values():
                    default = operation["responses"]["default"]
                    (schema,) = default["content"].values()
                    default["content"] = {problems.MEDIA_TYPE: schema}
        return described()

    app.openapi = openapi  # type: ignore[method-assign]
