"""Several servers over one PostgreSQL, and an import whose processes die again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.durability import free_port, picture
from benchmarks.killable import Killable, kill

pytestmark = pytest.mark.slow

SERVERS = 4
KILLS = 2
# A bound for a machine that does other things too; nothing here measures time.
SECONDS = 120


def until(holds: Callable[[], Any]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)


def found(client: httpx.Client) -> set[str]:
    """The ids of everything that a search gives."""
    answer = client.get("/v1/search", params={"text": "red", "limit": 1_000})
    answer.raise_for_status()
    return {hit["image"]["id"] for hit in answer.json()["hits"]}


@contextmanager
def a_client() -> Iterator[httpx.Client]:
    """A client of a port that nobody listens on yet."""
    with httpx.Client(base_url=f"http://127.0.0.1:{free_port()}", timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_what_one_of_four_servers_acknowledges_all_of_them_find(
    tmp_path: Path, database_url: str
) -> None:
    """The writer at once, the others soon after; and so with what is deleted."""
    settings = {"data_dir": str(tmp_path / "data"), "database_url": database_url, "model": "colour"}
    with ExitStack() as stack:
        killable = stack.enter_context(Killable(tmp_path / "service.log"))
        clients = [stack.enter_context(a_client()) for _ in range(SERVERS)]
        pids: list[int] = []
        stack.callback(lambda: kill(pids))
        for client in clients:
            pids += killable.start(client, **settings)
        uploaded: set[str] = set()
        for number, client in enumerate(clients):
            files = {"file": ("a.png", picture(number))}
            answer = client.post("/v1/images", files=files)
            assert answer.status_code == 201, answer.text
            uploaded.add(answer.json()["id"])
            assert answer.json()["id"] in found(client)
        for client in clients:
            until(lambda client=client: found(client) == uploaded)  # type: ignore[misc]
        gone = min(uploaded)
        clients[-1].delete(f"/v1/images/{gone}").raise_for_status()
        assert gone not in found(clients[-1])
        for client in clients:
            until(lambda client=client: found(client) == uploaded - {gone})  # type: ignore[misc]


def test_an_import_that_is_killed_again_and_again_ends_with_every_file(tmp_path: Path) -> None:
    """What was there before a kill is there after it; in the end each picture is there once."""
    photos = tmp_path / "photos"
    photos.mkdir()
    files = 300
    for number in range(files):
        (photos / f"{number}.png").write_bytes(picture(number))
    rng = random.Random(20261125)
    settings: dict[str, Any] = {
        "data_dir": str(tmp_path / "data"),
        "model": "colour",
        "picture_roots": [str(photos)],
    }
    job: dict[str, Any] | None = None
    seen: set[str] = set()
    kills = 0
    with Killable(tmp_path / "service.log") as killable:
        while job is None or job["finished_at"] is None:
            with a_client() as client:
                pids = killable.start(client, **settings)
                try:
                    assert found(client) >= seen
                    if job is None:
                        answer = client.post("/v1/admin/import", json={"paths": [str(photos)]})
                        job = answer.raise_for_status().json()
                    url = f"/v1/jobs/{job['id']}"
                    # A job whose worker died three times is given up, so the last one is let be.
                    wanted = files if kills == KILLS else len(seen) + rng.randint(1, files // 3)
                    until(lambda client=client, wanted=wanted: len(found(client)) >= wanted)  # type: ignore[misc]
                    if kills == KILLS:
                        until(lambda client=client, url=url: client.get(url).json()["finished_at"])  # type: ignore[misc]
                    seen = found(client)
                    job = client.get(url).json()
                finally:
                    kill(pids)
                    kills += 1
    assert (job["state"], job["attempts"]) == ("succeeded", KILLS + 1), job
    assert len(seen) == files
