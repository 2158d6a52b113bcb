"""The lock of an index: who may be in together, and that everybody gets in."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from index.vectors.read_write_lock import ReadWriteLock

DEADLINE_SECONDS = 20


def test_nobody_is_in_beside_a_writer_and_no_more_readers_than_allowed() -> None:
    """Whatever the order of many threads, a writer is alone and readers are few enough."""
    lock = ReadWriteLock(3)
    mutex = threading.Lock()
    inside = {"read": 0, "write": 0}
    seen: set[tuple[int, int]] = set()

    def stay(kind: str) -> None:
        with lock.reading() if kind == "read" else lock.writing():
            with mutex:
                inside[kind] += 1
                seen.add((inside["read"], inside["write"]))
            np.ones(20_000).sum()
            with mutex:
                inside[kind] -= 1

    with ThreadPoolExecutor(12) as pool:
        turns = [pool.submit(stay, "read" if turn % 4 else "write") for turn in range(2_000)]
        for future in turns:
            future.result(DEADLINE_SECONDS)
    assert inside == {"read": 0, "write": 0}
    assert {(1, 0), (0, 1)} <= seen <= {(1, 0), (2, 0), (3, 0), (0, 1)}


@pytest.mark.parametrize("crowd", ["read", "write"])
def test_one_of_a_kind_gets_in_among_many_of_the_other(crowd: str) -> None:
    """Readers who never leave a gap keep no writer out, and writers no reader."""
    lock = ReadWriteLock(2)
    one_was_in = threading.Event()

    def come_again_and_again() -> bool:
        while not one_was_in.is_set():
            with lock.reading() if crowd == "read" else lock.writing():
                # Held until the next one waits, so that the lock is never free.
                one_was_in.wait(0.005)
        return True

    def come_once() -> None:
        with lock.writing() if crowd == "read" else lock.reading():
            one_was_in.set()

    with ThreadPoolExecutor(5) as pool:
        many = [pool.submit(come_again_and_again) for _ in range(4)]
        try:
            pool.submit(come_once).result(DEADLINE_SECONDS)
        finally:
            one_was_in.set()
        assert all(future.result(DEADLINE_SECONDS) for future in many)


def test_an_error_inside_lets_the_next_one_in() -> None:
    """Whoever fails while holding the lock gives it back."""
    lock = ReadWriteLock(1)
    for hold in (lock.reading, lock.writing):
        with pytest.raises(ValueError, match="inside"), hold():
            raise ValueError("inside")
    with lock.writing():
        pass
    with lock.reading():
        pass
