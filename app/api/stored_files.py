"""Sending a stored file: from the cache where it is known, in ranges where they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

from index import StoredBytes

YEAR_SECONDS = 31_536_000


def stored_file(
    request: Request,
    stored: StoredBytes | Path,
    *,
    etag: str,
    media_type: str,
    filename: str | None = None,
) -> Response:
    """The bytes, or 304 when the asker has them already (RFC 9110, section 13.1.2).

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
    path = stored if isinstance(stored, Path) else stored.path
    named = _RangedFile(
        path or "",
        media_type=media_type,
        filename=filename,
        content_disposition_type="inline",
        headers=headers,
    )
    if path is not None:
        return named
    assert isinstance(stored, StoredBytes), "a path is a path"
    return _streamed(request, stored, named)


def _streamed(request: Request, stored: StoredBytes, named: _RangedFile) -> Response:
    """Bytes that are in no file here, a chunk at a time; with the headers of `named`."""
    start, end, status = 0, stored.size_bytes, 200
    headers = {**named.headers, "Accept-Ranges": "bytes"}
    asked = request.headers.get("range")
    if asked is not None and request.headers.get("if-range", headers["etag"]) == headers["etag"]:
        ranges = named.ranges(asked, stored.size_bytes)
        # Of several at once the whole is given, which the specification leaves to us.
        if len(ranges) == 1:
            ((start, end),) = ranges
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size_bytes}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(
        stored.read(start, end), status, headers, media_type=headers["content-type"]
    )


class _RangedFile(FileResponse):
    """Starlette's, but for ranges that can't be read or given, which it answers in plain text."""

    def ranges(self, asked: str, size_bytes: int) -> list[tuple[int, int]]:
        """The ranges that a header asks for, each from start to end."""
        return self._parse_range_header(asked, size_bytes)

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
