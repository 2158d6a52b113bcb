"""A real server on loopback, for what httpx's in-process transport can't show: streams and ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn

from app.main import create_app
from app.settings import Settings
from tests.fakes import ColourEncoder

# A bound for a machine that does other things too; nothing here measures time.
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Loopback:
    """Where the server listens."""

    port: int

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **options: Any) -> httpx.Response:
        """The answer to a GET, however busy the machine is."""
        return httpx.get(self.url + path, timeout=SECONDS, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """The answer to a POST."""
        return httpx.post(self.url + path, timeout=SECONDS, **options)

    def connect(self) -> socket.socket:
        """A plain connection, for bytes that no client library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)


@pytest.fixture
def loopback(
    settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> Iterator[Loopback]:
    """The application under uvicorn, as in life but for the model."""
    with on_loopback(settings, load_colours) as running:
        yield running


@contextmanager
def on_loopback(
    settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> Iterator[Loopback]:
    """As the fixture, for settings of one test."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = create_app(settings, load=load_colours)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        threading.Event().wait(0.01)
    yield Loopback(listener.getsockname()[1])
    server.should_exit = True
    thread.join()
    listener.close()
