"""Hearing of changes: PostgreSQL tells of each commit at once, SQLite is asked now and then."""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog

from index.store.database import Database

log = structlog.get_logger()

CHANNEL = "beholder_changes"
# A wait on a connection can't be ended from outside; it is cut into these.
SLICE_SECONDS = 0.25


class Announcements:
    """Lets one thread wait until another process may have committed a change.

    To be told is faster than to ask and never to be relied on: a connection that is lost, or a
    pooler that passes no notifications on, makes this a plain wait.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._is_closed = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Whether to go on: true after a change or so many seconds, false once this is closed."""
        if self._database.is_sqlite:
            return not self._is_closed.wait(seconds)
        deadline = time.monotonic() + seconds
        while not self._is_closed.is_set() and (left := deadline - time.monotonic()) > 0:
            if self._is_told(min(left, SLICE_SECONDS)):
                break
        return not self._is_closed.is_set()

    def close(self) -> None:
        """Let go of who waits."""
        self._is_closed.set()

    def disconnect(self) -> None:
        """Give the connection up; for the thread that waited, when it does no more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_told(self, seconds: float) -> bool:
        dialect = self._database.engine.dialect
        try:
            if self._connection is None:
                self._connection = self._listening()
                # What was committed before this began to listen is found by looking.
                return True
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except dialect.loaded_dbapi.Error as error:
            log.info("not_listening", reason=str(error).strip().partition("\n")[0])
            self.disconnect()
            self._is_closed.wait(seconds)
            return False

    def _listening(self) -> Any:
        """A connection of the driver's own: the pool is for work that ends."""
        dialect = self._database.engine.dialect
        arguments, options = dialect.create_connect_args(self._database.url)
        connection: Any = dialect.connect(*arguments, **options, autocommit=True)
        connection.execute(f"LISTEN {CHANNEL}")
        return connection
