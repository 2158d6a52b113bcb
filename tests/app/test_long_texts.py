"""Texts over the model's context length: cut and told of, or refused, as it is set."""

from __future__ import annotations

import httpx
import pytest

from app.settings import Settings
from tests.fakes import ColourEncoder

pytestmark = pytest.mark.anyio

LONG = "red " * (ColourEncoder.context_length + 1)


async def test_a_long_text_is_cut_and_the_answer_warns(client: httpx.AsyncClient) -> None:
    """By default the beginning is searched for, and the warning names the context length."""
    answer = (await client.get("/v1/search", params={"text": LONG})).json()
    (warning,) = answer["warnings"]
    assert str(ColourEncoder.context_length) in warning


class TestRefused:
    """With BEHOLDER_LONG_TEXTS=refuse."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """The same settings but for that choice."""
        return settings.model_copy(update={"long_texts": "refuse"})

    async def test_a_long_text_is_refused_with_its_place(self, client: httpx.AsyncClient) -> None:
        """The problem tells which part of a query is too long, and for what."""
        parts = [{"text": "red"}, {"text": LONG}]
        answer = await client.post("/v1/search", json={"query": parts})
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (422, "urn:beholder:problem:text-too-long")
        assert "context length of 8" in problem["detail"]
        assert "/query/1" in str(problem)
        refused = await client.post("/v1/embeddings", json={"texts": [LONG]})
        assert refused.status_code == 422
        assert (await client.get("/v1/search", params={"text": "red"})).status_code == 200
