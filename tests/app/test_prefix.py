"""Below a path prefix, stripped by the proxy or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.fakes import ColourEncoder
from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("sent", ["", "/photos"])
async def test_page_and_api_work_below_a_prefix(
    tmp_path: Path, load_colours: Callable[[str], ColourEncoder], sent: str
) -> None:
    """The page, its files, the API, the links in answers and the documentation are all found."""
    settings = Settings(data_dir=tmp_path, model="colour", root_path="/photos", threads=1)
    app = create_app(settings, load=load_colours)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope, receive, send) -> None:  # noqa: ANN001
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://a.test") as client:
            for path in ("/", "/assets/js/main.js", "/docs", "/openapi.json", "/livez"):
                assert (await client.get(sent + path)).status_code == 200, path
            answer = await client.post(f"{sent}/v1/images", files={"file": picture_bytes()})
            assert answer.status_code == 201
            image = answer.json()
            assert image["urls"]["file"] == f"/photos/v1/images/{image['id']}/file"
            assert answer.headers["location"] == f"/photos/v1/images/{image['id']}"
            link = image["urls"]["thumbnail"].removeprefix("" if sent else "/photos")
            assert (await client.get(link)).status_code == 200
            assert "/photos/static-offline-docs/" in (await client.get(f"{sent}/docs")).text
