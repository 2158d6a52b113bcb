"""Cleaning up after crashes, beside the service: a large library takes minutes to walk."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import structlog

from index import Library, RetrievalError, Versions

log = structlog.get_logger()


class Sweeper:
    """Removes old files that nothing needs, once, in a thread that ends with the block."""

    def __init__(self, library: Library, versions: Versions) -> None:
        self._library = library
        self._versions = versions
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            removed = self._versions.sweep() + self._library.sweep(self._stop.is_set)
        except RetrievalError as error:
            log.warning("sweep_failed", reason=str(error))
            return
        if removed:
            log.info("files_swept", removed=removed)
