"""Sending a stored file: from the cache where it is known, in ranges where they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

YEAR_SECONDS = 31_536_000


def stored_file(
    request: Request, path: Path, *, etag: str, media_type: str, filename: str | None = None
) -> Response:
    """The file, or 304 when the asker has it already (RFC 9110, section 13.1.2).

    What is behind an `etag` never changes, so it may be kept for ever.
    """
    headers = {
        "ETag": f'"{etag}"',
        "Cache-Control": f"private, max-age={YEAR_SECONDS}, immutable",
    }
    asked = request.headers.get("if-none-match", "")
    known = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
    if known & {headers["ETag"], "*"}:
        return Response(status_code=304, headers=headers)
    return _RangedFile(
        path,
        media_type=media_type,
        filename=filename,
        content_disposition_type="inline",
        headers=headers,
    )


class _RangedFile(FileResponse):
    """Starlette's, but for ranges that can't be read or given, which it answers in plain text."""

    @classmethod
    def _parse_range_header(cls, *arguments: Any) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(*arguments)
        except MalformedRangeHeader:
            # RFC 9110, section 14.2: a range that can't be read is as good as none.
            return []
        except RangeNotSatisfiable as error:
            size = error.max_size
            raise HTTPException(
                416,
                f"The file has {size} bytes; ask for a range inside of it.",
                headers={"Content-Range": f"bytes */{size}"},
            ) from error
