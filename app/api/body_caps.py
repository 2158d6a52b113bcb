"""How many bytes a body may have: what it announces, and what its reader allows."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

# A length of more digits is over any cap, and Python refuses to read one of thousands.
DIGITS_ALLOWED = 18
ALLOWED = "beholder_body_bytes_allowed"


def announces_more(headers: Headers, limit: int) -> bool:
    """Whether the request says itself that its body is over `limit` bytes."""
    announced = headers.get("content-length", "")
    if not announced.isdecimal():
        return False
    return len(announced) > DIGITS_ALLOWED or int(announced) > limit


def is_form(headers: Headers) -> bool:
    """Whether the body says that it is multipart; media types have no case."""
    return headers.get("content-type", "").lower().startswith("multipart/")


def allow(scope: Scope, limit: int) -> None:
    """Let this request's body have `limit` bytes, for a reader that does not keep them."""
    scope[ALLOWED] = limit


def allowed(scope: Scope, default: int) -> int:
    """How many bytes this request's body may have."""
    limit: int = scope.get(ALLOWED, default)
    return limit
