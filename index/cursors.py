"""Opaque cursors: where a page ended, and of which request it was a page."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from index.errors import CursorError

CURSOR_CHARACTERS = 2_000


def pack(content: dict[str, Any]) -> str:
    """The cursor that carries `content`, safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).decode()


def unpack(cursor: str, types: dict[str, type]) -> dict[str, Any]:
    """What `pack` was given. Raises CursorError unless it has just these keys of these types."""
    if len(cursor) > CURSOR_CHARACTERS:
        raise CursorError("it is not one of ours")
    try:
        content = json.loads(
            base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        )
    except (ValueError, binascii.Error, RecursionError) as error:
        raise CursorError("it is not one of ours") from error
    if (
        not isinstance(content, dict)
        or {key: type(value) for key, value in content.items()} != types
    ):
        raise CursorError("it is not one of ours")
    return content


def unpack_number(cursor: str) -> int:
    """The number in a cursor of a list ordered by number. Raises CursorError."""
    number: int = unpack(cursor, {"n": int})["n"]
    if not 0 <= number < 2**63:
        raise CursorError("it is not one of ours")
    return number
