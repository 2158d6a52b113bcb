"""What holds for every request: its id, its log line, its metrics, its caps, its headers."""

from __future__ import annotations

import re
import secrets
import time

import anyio
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.api.body_caps import allowed, announces_more, is_form
from app.errors import RequestTooLarge

log = structlog.get_logger()

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# How much of a body that was refused is still read, so that its sender reads the answer: one that
# is cut off in the middle of sending sees a broken connection instead.
DRAINED_SECONDS = 10.0
SETTING = "BEHOLDER_MAX_BYTES"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The API's documentation starts itself by a script in its page, and brings all it needs along.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
# Stored bytes are shown as pictures and never run, whatever is in them.
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Prefixed:
    """Serves below a path prefix, whether or not the proxy in front strips it (ASGI's rule).

    ASGI says that the path begins with `root_path`; a proxy that strips the prefix breaks it.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and self._root_path:
            path = scope["path"]
            if path != self._root_path and not path.startswith(f"{self._root_path}/"):
                path = self._root_path + path
            scope = {**scope, "root_path": self._root_path, "path": path}
        await self._app(scope, receive, send)


class Observed:
    """Gives each request an id, a line in the log and a place in the metrics."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "beholder_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "beholder_request_seconds",
            "Seconds to the end of the answer.",
            ["route"],
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope["request_id"] = request_id
        began = time.perf_counter()
        status = 500
        is_started = False

        async def observed_send(message: Message) -> None:
            nonlocal status, is_started
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", _policy(scope))
                is_started = True
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, observed_send)
        except Exception:
            # Answered here, inside of the headers above; the server logs what goes on upwards.
            if not is_started:
                await problems.internal(request_id)(scope, receive, observed_send)
            raise
        finally:
            seconds = time.perf_counter() - began
            # The pattern, not the path: ids as labels would grow without bound.
            route = getattr(scope.get("route"), "path", "none")
            self._requests.labels(scope["method"], route, status).inc()
            self._seconds.labels(route).observe(seconds)
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(1e3 * seconds, 1),
            )
            structlog.contextvars.unbind_contextvars("request_id")


class Headed:
    """Answers HEAD as GET, without the content (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            assert message["type"] == "http.response.start", "an answer starts with its head"
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            # Not a byte of a large file is read, and a stream of events ends before it begins.
            raise _HeadSent

        headers = scope["headers"]
        # Ranges are for GET alone (section 14.2).
        scope["headers"] = [pair for pair in headers if pair[0] != b"range"]
        scope["method"] = "GET"
        try:
            await self._app(scope, receive, send_head)
        except* _HeadSent:
            pass
        finally:
            scope["method"] = "HEAD"
            scope["headers"] = headers


class _HeadSent(Exception):
    """What an answer without content has to say is said."""


class Bounded:
    """Refuses bodies over a cap or a pause, and requests that another site's page sends.

    A form may be larger than the cap: its reader says so, since it keeps nothing in memory. A body
    of which nothing comes for `max_pause_seconds` gives its place to others.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_pause_seconds: float) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_pause_seconds = max_pause_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] not in SAFE_METHODS and headers.get("sec-fetch-site") == "cross-site":
            kind = problems.ProblemType("cross-site", 403, "Another site's page sent this")
            answer = problems.response(
                problems.document(kind, "Changes are accepted from the service's own page only.")
            )
            await answer(scope, receive, send)
            return
        limit = self._max_body_bytes
        received = 0
        is_complete = False

        async def bounded_receive() -> Message:
            nonlocal received, is_complete
            if is_complete:
                # What may still come is the asker's leaving, at any time.
                return await receive()
            try:
                with anyio.fail_after(self._max_pause_seconds):
                    message = await receive()
            except TimeoutError as error:
                is_complete = True
                raise HTTPException(
                    408,
                    f"No byte of the body came for {self._max_pause_seconds:g} s; send it again.",
                    headers={"Connection": "close"},
                ) from error
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                is_complete = not message.get("more_body", False)
                # A form's reader raises the cap; who reads a form as JSON has not.
                if received > allowed(scope, limit):
                    raise HTTPException(413, str(RequestTooLarge(limit, SETTING)))
            else:
                is_complete = True
            return message

        async def draining_send(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if not is_last or is_complete or not _has_body(headers):
                await send(message)
                return
            await send({**message, "more_body": True})
            with anyio.move_on_after(DRAINED_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        if not is_form(headers) and announces_more(headers, limit):
            answer = problems.response(problems.problem_of(RequestTooLarge(limit, SETTING)))
            await answer(scope, receive, draining_send)
            return
        await self._app(scope, bounded_receive, draining_send)


def _policy(scope: Scope) -> str:
    route = getattr(scope.get("route"), "path", "")
    if route in {"/docs", "/redoc"}:
        return DOCS_POLICY
    return FILE_POLICY if route.startswith("/v1/images/{image_id}/") else PAGE_POLICY


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
