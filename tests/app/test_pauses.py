"""Bodies of which nothing comes any more: their places go to others."""

from __future__ import annotations

from typing import Any

import pytest

from app.settings import Settings
from tests.app.asking import BOUNDARY, ON_SQLITE, form_part
from tests.app.conftest import SECONDS, on_loopback
from tests.pictures import picture_bytes

pytestmark = ON_SQLITE

FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.mark.parametrize(
    ("path", "kind", "beginning"),
    [
        ("/v1/images", FORM, form_part(b'form-data; name="file"; filename="a.png"', b"")[:-2]),
        ("/v1/images/batch", FORM, b""),
        ("/v1/search/image", FORM, b"--"),
        ("/v1/search", "application/json", b'{"query": ['),
        ("/v1/embeddings", "application/json", b"{"),
    ],
)
def test_a_body_that_stalls_is_given_up(
    settings: Settings, load_colours: Any, path: str, kind: str, beginning: bytes
) -> None:
    """Its sender is told, the connection ends, nothing is kept, and the place is free again."""
    impatient = settings.model_copy(update={"max_pause_seconds": 1, "max_uploads_at_once": 1})
    with on_loopback(impatient, load_colours) as running, running.connect() as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: beholder\r\nContent-Length: 5000\r\n"
        connection.sendall(f"{head}Content-Type: {kind}\r\n\r\n".encode() + beginning)
        connection.settimeout(SECONDS)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"urn:beholder:problem:request-timeout" in answer
        assert not list((settings.data_dir / "incoming").iterdir())
        stored = running.post("/v1/images", files={"file": ("a.png", picture_bytes())})
        assert stored.status_code == 201
