"""`/v1/images`: what is stored, what is refused, and what the answers say."""

from __future__ import annotations

import httpx
import pytest

from tests.pictures import picture_bytes

pytestmark = pytest.mark.anyio


async def test_an_uploaded_image_is_found_at_once(client: httpx.AsyncClient) -> None:
    """The image is searchable before the answer to its upload is sent."""
    answer = await client.post(
        "/v1/images",
        files={"file": ("red.png", picture_bytes((255, 0, 0)))},
        data={"tags": ["a", "b"], "caption": "red", "metadata": '{"k": 1}'},
    )
    assert answer.status_code == 201, answer.text
    image = answer.json()
    assert image["created"] is True
    assert image["tags"] == ["a", "b"]
    found = (await client.get("/v1/search", params={"text": "red"})).json()
    assert [hit["image"]["id"] for hit in found["hits"]] == [image["id"]]
    assert found["hits"][0]["score"] > 0.9
