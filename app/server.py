"""`beholder serve`: uvicorn, with a worker process beside it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Self

import structlog
import uvicorn

from app.errors import AddressUnusable, PortTaken, StartFailed
from app.main import create_app
from app.settings import Settings
from index import Database, DatabaseUnavailable, JobQueue

log = structlog.get_logger()

SHUTDOWN_SECONDS = 30
WORKER_STOP_SECONDS = 20
POLL_SECONDS = 0.3
WORKER_IDLE_SECONDS = 60
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
    worker = _WorkerOnDemand(settings, server) if settings.worker else contextlib.nullcontext()
    # Uvicorn would print the trace of a failed start and exit; the error raised below says it once.
    logging.getLogger("uvicorn.error").addFilter(lambda _: app.state.start_error is None)
    with worker, contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run()
    if not server.started:
        raise app.state.start_error or StartFailed


def check_free(host: str, port: int) -> None:
    """Raises PortTaken when another program listens there, AddressUnusable if nobody may."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(host, port) from error
            raise AddressUnusable(host, port, error.strerror or str(error)) from error


class _WorkerOnDemand:
    """Starts a worker process when a job waits; it ends when there has been none for a while.

    A worker has the model in memory, as much as the server itself, and jobs are rare. It is started
    afresh and not forked: a fork of a process in which torch has threads hangs.
    """

    def __init__(self, settings: Settings, server: uvicorn.Server) -> None:
        self._server = server
        self._url = settings.effective_database_url
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
        database = Database(self._url, pool_size=1)
        jobs = JobQueue(database)
        while not self._stop.wait(POLL_SECONDS):
            if self._server.started and _is_claimable(jobs):
                self._run_worker()
        database.close()

    def _run_worker(self) -> None:
        command = [sys.executable, "-m", "app", "worker", "--nice", str(WORKER_NICENESS)]
        command += ["--idle-seconds", str(WORKER_IDLE_SECONDS)]
        # Out of the terminal's process group, so that Ctrl-C ends the server first.
        process = subprocess.Popen(command, env=self._environment, start_new_session=True)  # noqa: S603
        while process.poll() is None and not self._stop.wait(POLL_SECONDS):
            pass
        if process.poll() is None:
            _end(process)
        elif process.returncode != 0:
            log.warning("worker_died", status=process.returncode)
            self._stop.wait(RESTART_SECONDS)


def _is_claimable(jobs: JobQueue) -> bool:
    try:
        return jobs.is_claimable()
    except DatabaseUnavailable:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(WORKER_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
