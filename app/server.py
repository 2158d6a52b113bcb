"""`beholder serve`: uvicorn, with a worker process beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Self

import structlog
import uvicorn

from app.errors import PortTaken, StartFailed
from app.main import create_app
from app.settings import Settings

log = structlog.get_logger()

SHUTDOWN_SECONDS = 30
WORKER_STOP_SECONDS = 20
POLL_SECONDS = 0.2
RESTART_SECONDS = 2
# A worker serves no one who waits; the server on the same cores does.
WORKER_NICENESS = 10


def serve_forever(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is in hand.

    Raises PortTaken before anything is opened, and what `open_services` raises.
    """
    check_free(host, port)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)
    # Uvicorn raises the signal once more when it is done, which by default would end this process
    # before it has ended the worker.
    signal.signal(signal.SIGTERM, lambda *_: None)
    worker = _WorkerProcess(settings) if settings.worker else contextlib.nullcontext()
    with worker, contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise app.state.start_error or StartFailed


def check_free(host: str, port: int) -> None:
    """Raises PortTaken when another program listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(host, port) from error


class _WorkerProcess:
    """A worker in a process of its own, started again when it dies.

    It is started afresh and not forked: a fork of a process in which torch has threads hangs.
    """

    def __init__(self, settings: Settings) -> None:
        self._environment = os.environ | settings.as_environment()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="worker-process", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _supervise(self) -> None:
        command = [sys.executable, "-m", "app", "worker", "--nice", str(WORKER_NICENESS)]
        while not self._stop.is_set():
            # Out of the terminal's process group, so that Ctrl-C ends the server first.
            process = subprocess.Popen(command, env=self._environment, start_new_session=True)  # noqa: S603
            while process.poll() is None and not self._stop.wait(POLL_SECONDS):
                pass
            if self._stop.is_set():
                _end(process)
                return
            log.warning("worker_died", status=process.returncode)
            self._stop.wait(RESTART_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(WORKER_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
