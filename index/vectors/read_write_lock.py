"""A lock that lets readers in together, and no more of them than can run; in order of arrival."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class ReadWriteLock:
    """At most `most_readers` readers, or one writer. Not re-entrant.

    Whoever comes first enters first, so neither readers nor writers are starved. Readers beyond
    those that the processor's cores can serve would only take turns there, for milliseconds each,
    and be in one another's and a writer's way.
    """

    def __init__(self, most_readers: int) -> None:
        self._most_readers = most_readers
        self._mutex = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._readers = 0
        self._is_writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold it together with other readers."""
        self._enter(is_writer=False)
        try:
            yield
        finally:
            with self._mutex:
                self._readers -= 1
                self._admit()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold it alone."""
        self._enter(is_writer=True)
        try:
            yield
        finally:
            with self._mutex:
                self._is_writing = False
                self._admit()

    def _enter(self, *, is_writer: bool) -> None:
        waiting = _Waiting(is_writer=is_writer)
        with self._mutex:
            self._waiting.append(waiting)
            self._admit()
        waiting.turn.acquire()

    def _admit(self) -> None:
        """Let in from the head of the queue those who may be in together."""
        while self._waiting and not self._is_writing:
            is_writer = self._waiting[0].is_writer
            if self._readers and (is_writer or self._readers >= self._most_readers):
                return
            if is_writer:
                self._is_writing = True
            else:
                self._readers += 1
            self._waiting.popleft().turn.release()


class _Waiting:
    """One who wants in; `turn` can be acquired from the moment of being let in."""

    def __init__(self, *, is_writer: bool) -> None:
        self.is_writer = is_writer
        self.turn = threading.Lock()
        self.turn.acquire()
