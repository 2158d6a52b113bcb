"""The service as a process that dies and comes back: what was acknowledged is still there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pictures import picture_bytes

ROOT = Path(__file__).parents[2]
SECONDS = 240


@dataclass(frozen=True, slots=True)
class Running:
    """A server process, and a client of it."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def upload(self, data: bytes, **fields: Any) -> dict[str, Any]:
        """The image of an upload that was acknowledged."""
        answer = self.client.post("/v1/images", files={"file": ("a.png", data)}, data=fields)
        assert answer.status_code == 201, answer.text
        image: dict[str, Any] = answer.json()
        return image

    def found(self, text: str = "red") -> set[str]:
        """The ids of everything that a search gives."""
        answer = self.client.get("/v1/search", params={"text": text, "limit": 1_000})
        assert answer.status_code == 200, answer.text
        return {hit["image"]["id"] for hit in answer.json()["hits"]}

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as a supervisor would; gives its status."""
        self.process.terminate()
        return self.process.wait(60)


Start = Callable[[], Running]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launched(data: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """`beholder serve` on this port, its output in `log`."""
    environment = {**os.environ, "BEHOLDER_DATA_DIR": str(data), "BEHOLDER_THREADS": "1"}
    command = [sys.executable, "-m", "app", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the service over the same data folder each time, and ends what is left."""
    started: list[Running] = []

    def begin() -> Running:
        port = free_port()
        process = launched(tmp_path / "data", port, tmp_path / "serve.log")
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        running = Running(process, client, tmp_path / "serve.log")
        started.append(running)
        deadline = time.monotonic() + SECONDS
        while True:
            assert process.poll() is None, running.log.read_text()
            assert time.monotonic() < deadline, running.log.read_text()
            try:
                if client.get("/readyz").status_code == 200:
                    return running
            except httpx.TransportError:
                pass
            time.sleep(0.1)

    yield begin
    for running in started:
        running.client.close()
        if running.process.poll() is None:
            running.kill()


def descendants(pid: int) -> set[int]:
    """The processes that this one started, and those that they started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting.extend(below)
    return found


def workers(pid: int) -> set[int]:
    """Those below this process that run `beholder worker`."""
    return {
        each
        for each in descendants(pid)
        if "worker" in Path(f"/proc/{each}/cmdline").read_text().split("\0")
    }


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(start: Start) -> None:
    """An upload, a change and a deletion are there after kill -9 right behind their answers."""
    server = start()
    kept = server.upload(picture_bytes())
    gone = server.upload(picture_bytes((0, 255, 0)))
    changed = server.upload(picture_bytes((0, 0, 255)), caption="before")
    patch = {"caption": "after", "tags": ["t"]}
    assert server.client.patch(f"/v1/images/{changed['id']}", json=patch).status_code == 200
    assert server.client.delete(f"/v1/images/{gone['id']}").status_code == 204
    data = picture_bytes(seed=9)
    last = server.upload(data)
    server.kill()

    server = start()
    assert server.found() == {kept["id"], changed["id"], last["id"]}
    assert server.client.get(last["urls"]["file"]).content == data
    read = server.client.get(f"/v1/images/{changed['id']}").json()
    assert (read["caption"], read["tags"]) == ("after", ["t"])
    assert server.client.get(f"/v1/images/{gone['id']}").status_code == 404
    # Refused files leave no trace, before and after.
    answer = server.client.post("/v1/images", files={"file": ("a.png", data[:200])})
    assert answer.status_code == 422
    assert server.client.get("/v1/images").json()["total"] == 3

    assert server.stop() == 0
    server = start()
    assert server.found() == {kept["id"], changed["id"], last["id"]}
    again = server.client.post("/v1/images", files={"file": ("a.png", data)})
    assert (again.status_code, again.json()["id"]) == (200, last["id"])


@pytest.mark.slow
def test_a_stopped_service_leaves_no_process_and_a_second_one_finds_no_port(
    start: Start, tmp_path: Path
) -> None:
    """SIGTERM ends server and worker; a taken port is one line and status 1."""
    server = start()
    port = server.client.base_url.port
    assert port is not None
    second = launched(tmp_path / "other", port, tmp_path / "second.log")
    assert second.wait(SECONDS) == 1
    (line,) = (tmp_path / "second.log").read_text().strip().splitlines()
    assert f"Port {port}" in line
    assert "--port" in line

    # The model has answered: a worker forked from here would hang in the threads of torch.
    assert server.found() == set()
    job = server.client.post("/v1/admin/reindex").json()
    deadline = time.monotonic() + SECONDS
    while not (children := workers(server.process.pid)):
        assert time.monotonic() < deadline, "no worker was started"
        time.sleep(0.05)
    assert server.stop() == 0, server.log.read_text()
    assert all(not Path(f"/proc/{pid}").exists() for pid in children)
    assert "Traceback" not in server.log.read_text()

    # What the worker had in hand, or had not begun, is done by the next one.
    server = start()
    deadline = time.monotonic() + SECONDS
    while (state := server.client.get(f"/v1/jobs/{job['id']}").json())["finished_at"] is None:
        assert time.monotonic() < deadline, state
        time.sleep(0.2)
    assert state["state"] == "succeeded", state
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0


@pytest.mark.parametrize("failure", ["data folder", "database"])
def test_a_start_that_fails_says_so_in_one_line(tmp_path: Path, failure: str) -> None:
    """What keeps the service from starting is named once, with status 1 and without a trace."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no folder")
    settings = {
        "data folder": {"BEHOLDER_DATA_DIR": str(in_the_way)},
        "database": {
            "BEHOLDER_DATA_DIR": str(tmp_path / "data"),
            "BEHOLDER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "BEHOLDER_DATABASE_WAIT_SECONDS": "0",
        },
    }[failure]
    ended = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--port", str(free_port())],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("beholder: ")
    assert failure in line
