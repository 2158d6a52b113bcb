"""`POST /v1/models` with other people's weights: what may be named, and how each fault is told."""

from __future__ import annotations

import os
import pickle
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import torch
from starlette.types import Receive, Scope, Send

from app.main import create_app
from app.settings import Settings
from tests.app.asking import assert_problem, strict_json
from tests.model import clip_files, tiny

pytestmark = pytest.mark.anyio


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    """The folder whose files the owner lets the service read."""
    folder = tmp_path / "brought"
    folder.mkdir()
    return folder


@pytest.fixture
async def client(tmp_path: Path, brought: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with the model layer's own loader."""
    tiny.write(tmp_path / "tiny.safetensors")
    settings = Settings(
        data_dir=tmp_path / "data",
        model=str(tmp_path / "tiny.safetensors"),
        model_roots=(brought,),
        threads=1,
    )
    application = create_app(settings)
    async with application.router.lifespan_context(application) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await application({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://beholder.test") as it:
            yield it


def openai_tensors() -> dict[str, torch.Tensor]:
    """A small vision transformer under OpenAI's names."""
    return clip_files.openai_names(clip_files.model(clip_files.VIT).state_dict())


async def test_a_file_or_a_folder_below_an_allowed_root_becomes_a_version(
    client: httpx.AsyncClient, brought: Path
) -> None:
    """The answer names the architecture that was found, and what was told with it counts."""
    torch.save(openai_tensors(), brought / "vit.pt")
    for source, told, architecture in (
        (brought / "vit.pt", {}, "ViT-128-8-32"),
        (brought, {"architecture": "ViT-128-8-32-quickgelu"}, "ViT-128-8-32-quickgelu"),
        (brought / "vit.pt", {"image_size": 48}, "ViT-128-8-48"),
    ):
        answer = await client.post("/v1/models", json={"source": str(source), **told})
        assert answer.status_code == 201, answer.text
        version = strict_json(answer)
        assert (version["architecture"], version["dimension"]) == (architecture, 32)


class _Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize(
    ("content", "told", "detail"),
    [
        (b"", {}, "an empty file"),
        (b"<!DOCTYPE html>", {}, "a web page"),
        (None, {"architecture": "RN50"}, "expected a RN50, found a ViT-128-8-32"),
        (None, {"image_size": 33}, "a multiple of 8"),
    ],
)
async def test_what_is_no_model_is_a_problem_that_says_why(
    client: httpx.AsyncClient,
    brought: Path,
    content: bytes | None,
    told: dict[str, object],
    detail: str,
) -> None:
    """The owner learns what the file is; no version is registered."""
    path = brought / "weights.pt"
    torch.save(openai_tensors(), path)
    if content is not None:
        path.write_bytes(content)
    answer = await client.post("/v1/models", json={"source": str(path), **told})
    problem = assert_problem(answer, 422, "bad-checkpoint")
    assert detail in problem["detail"]
    assert len(strict_json(await client.get("/v1/models"))["items"]) == 1


async def test_a_pickle_that_calls_something_is_a_problem_and_is_not_run(
    client: httpx.AsyncClient, brought: Path
) -> None:
    """Registering a hostile file does nothing but name what it wanted to call."""
    path, target = brought / "evil.pt", brought / "written"
    path.write_bytes(pickle.dumps(_Evil(target), 2))
    answer = await client.post("/v1/models", json={"source": str(path)})
    assert "posix.mkdir" in assert_problem(answer, 422, "bad-checkpoint")["detail"]
    assert not target.exists()


@pytest.mark.parametrize(
    ("field", "value"), [("image_size", 0), ("image_size", 4_097), ("architecture", "a" * 101)]
)
async def test_what_is_told_is_bounded(
    client: httpx.AsyncClient, brought: Path, field: str, value: object
) -> None:
    """A size or a name beyond any model's is refused at its place."""
    answer = await client.post("/v1/models", json={"source": str(brought), field: value})
    assert_problem(answer, 422, "invalid-request", pointer=f"/{field}")
