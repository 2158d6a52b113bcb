"""The engine and its units of work: `Database.reading` and `Database.writing`."""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from index.errors import DatabaseUnavailable, StorageFull

LOCK_WAIT_SECONDS = 30


class Database:
    """One SQL database, SQLite or PostgreSQL, and the two kinds of transaction on it.

    Thread-safe; sessions are not. Close it when done.
    """

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        parsed = make_url(url)
        if parsed.drivername in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.url = parsed
        if self.is_sqlite:
            self.engine = create_engine(
                parsed,
                pool_size=pool_size,
                max_overflow=pool_size,
                connect_args={"timeout": LOCK_WAIT_SECONDS},
            )
            _prepare_sqlite(self.engine)
        else:
            self.engine = create_engine(
                parsed, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True
            )
        self._writing_engine = self.engine.execution_options(writes=True)
        # SQLite's every transaction sees one moment.
        self._moment_engine = (
            self.engine
            if self.is_sqlite
            else self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        )

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session on what is committed, which itself is never committed.

        Raises DatabaseUnavailable.
        """
        with _translated(), Session(self.engine) as session:
            yield session

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """As `reading`, for rows of tables alone: it takes a fifth of the time of a session.

        Raises DatabaseUnavailable.
        """
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def reading_one_moment(self) -> Iterator[Session]:
        """As `reading`, and all of its statements see the database as it was at the first.

        Raises DatabaseUnavailable.
        """
        with _translated(), Session(self._moment_engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A unit of work: committed when the block ends well, undone when it raises.

        On SQLite it takes the write lock at the start: a transaction that begins by reading and
        writes later fails at once, without waiting, when another has written in between.

        Raises DatabaseUnavailable, StorageFull.
        """
        with (
            _translated(),
            Session(self._writing_engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    def close_to_one_file(self) -> None:
        """Close a SQLite database that nobody else has open, all of it in its one file."""
        assert self.url.database, "only SQLite has a file"
        self.close()
        path = Path(self.url.database)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        migration_lock(path).unlink(missing_ok=True)


def check_database_url(url: str) -> None:
    """Raises ValueError, which does not hold the URL, unless `Database` can be made of it."""
    try:
        backend = make_url(url).get_backend_name()
    except (ArgumentError, ValueError):
        raise ValueError("it is no SQLAlchemy URL") from None
    if backend not in {"sqlite", "postgresql", "postgres"}:
        raise ValueError("the databases are sqlite and postgresql")
    if backend != "sqlite" and importlib.util.find_spec("psycopg") is None:
        raise ValueError("PostgreSQL needs the extra `postgres`: pip install 'beholder[postgres]'")


def migration_lock(database: Path) -> Path:
    """The file that is locked while a SQLite database is migrated."""
    return database.with_suffix(".migrating")


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite database in the file `path`."""
    return f"sqlite:///{path.absolute()}"


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        assert isinstance(connection, sqlite3.Connection)
        # The driver's own BEGIN comes too late (at the first write); ours is sent by _begin.
        connection.isolation_level = None
        cursor = connection.cursor()
        # WAL lets readers go on while one writes; FULL makes a commit durable before it returns.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={LOCK_WAIT_SECONDS * 1000}")
        cursor.close()
        # SQLite's own lower() knows ASCII only.
        connection.create_function("lower", 1, _lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _lower(value: str | None) -> str | None:
    return None if value is None else value.lower()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        reason = str(error.orig or error).strip().splitlines()[0]
        if "disk is full" in reason or "No space left" in reason:
            raise StorageFull(Path("database"), reason) from error
        raise DatabaseUnavailable(reason) from error
    except PoolTimeout as error:
        raise DatabaseUnavailable("every connection is in use") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable("the connection was lost") from error
        raise
