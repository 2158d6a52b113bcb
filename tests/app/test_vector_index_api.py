"""`/v1/admin/index`."""

from __future__ import annotations

import httpx
import pytest

pytestmark = pytest.mark.anyio


async def test_the_index_tells_what_it_is_and_tunes_itself_when_asked(
    client: httpx.AsyncClient,
) -> None:
    """Kind, goals and size at once; the measured figures after a tuning."""
    told = (await client.get("/v1/admin/index")).json()
    assert (told["kind"], told["size"], told["removed"]) == ("exact", 0, 0)
    assert told["goals"] == {"recall": 0.99, "latency_ms": 5.0, "kind": "auto"}
    assert told["measured"] is None
    answer = await client.post("/v1/admin/index/tune")
    assert answer.status_code == 202
    while (told := (await client.get("/v1/admin/index")).json())["is_tuning"]:
        assert told["problem"] is None
    assert told["measured"]["recall_of_texts"] == 1.0
