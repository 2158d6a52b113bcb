"""Servers that can be killed and started again in a fraction of a second.

Run as a process of its own, it imports the program once and forks a server and a worker for each
line of JSON on standard input; it answers with their process ids. Only the model is a stand-in, a
deterministic one without weights: what dies and comes back is the service itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[1]
START_SECONDS = 120
# Of jobs and of their ranges: a worker that was killed is given up in the next round.
LEASE_SECONDS = 1.0


class Killable:
    """Forks servers over one data folder."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab")
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.killable"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._zygote.stdin is not None, "it was opened with a pipe"
        assert self._zygote.stdout is not None, "it was opened with a pipe"
        self._zygote.stdin.close()
        self._zygote.stdout.close()
        self._zygote.wait()
        self._log.close()

    def start(self, client: httpx.Client, **settings: Any) -> list[int]:
        """A server on the client's port and a worker, ready; gives their process ids."""
        assert self._zygote.stdin is not None, "it was opened with a pipe"
        assert self._zygote.stdout is not None, "it was opened with a pipe"
        order = {"port": client.base_url.port, "settings": settings}
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        pids: list[int] = json.loads(self._zygote.stdout.readline())
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if client.get("/readyz").status_code == httpx.codes.OK:
                    return pids
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline or not all(map(is_alive, pids)):
                log = Path(self._log.name).read_text(errors="replace")
                raise SystemExit(f"the service did not start:\n{log[-3_000:]}")
            time.sleep(0.01)


def kill(pids: list[int]) -> None:
    """End the processes as a power cut would, and wait until they are gone."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    while any(map(is_alive, pids)):
        time.sleep(0.002)


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    """Fork as long as orders come."""
    # Dead children leave at once, without being waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import app.jobs.worker
    import app.main  # noqa: F401  (imported before the forks, which is what makes them fast)
    import index.store.reindex_claims
    from app.logs import configure

    configure("text")
    index.store.reindex_claims.CLAIM_SECONDS = LEASE_SECONDS
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps([_forked(_serve, order), _forked(_work, order)]), flush=True)


def _forked(role: Callable[[dict[str, Any]], None], order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        role(order)
        status = 0
    except BaseException:  # noqa: BLE001  (a child must never return into the loop of its parent)
        traceback.print_exc()
    finally:
        os._exit(status)


def _serve(order: dict[str, Any]) -> None:
    import uvicorn

    from app.main import create_app

    app = create_app(_settings(order), load=_loader(order))
    uvicorn.run(app, host="127.0.0.1", port=order["port"], log_config=None, access_log=False)


def _work(order: dict[str, Any]) -> None:
    from app.jobs.worker import Worker
    from app.services import open_services
    from index import JobQueue

    with open_services(_settings(order), load=_loader(order)) as services:
        jobs = JobQueue(services.database, lease_seconds=LEASE_SECONDS)
        Worker(replace(services, jobs=jobs)).run()


def _settings(order: dict[str, Any]) -> Any:
    from app.settings import Settings

    return Settings(threads=1, **order["settings"])


def _loader(order: dict[str, Any]) -> Callable[[str], Any]:
    from tests.fakes import ColourEncoder

    sources = Path(order["settings"]["data_dir"]).parent

    def load(source: str) -> Any:
        path = Path(source)
        if not path.is_file():
            path = sources / f"{source}.txt"
            # Whole at once: other processes read it in the same moment.
            fresh = sources / f"{source}.{os.getpid()}"
            fresh.write_text(source.partition("-")[2] or "0")
            fresh.replace(path)
        return ColourEncoder(path, int(path.read_text()))

    return load


if __name__ == "__main__":
    main()
