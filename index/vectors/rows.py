"""Vectors in rows of one block of memory, with the image number of each row and the way back."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.vectors.base import NO_NUMBER, Numbers, StoredVectors, Vectors

NO_ROW = -1
SMALLEST_CAPACITY = 1_024
ROWS_PER_BLOCK = 8_192


class Rows:
    """Stored vectors by row and by image number. Not thread-safe: its owner holds the lock.

    `numbers` (capacity,) has -1 for rows whose image was removed; `scales` (capacity,) makes the
    float16 rows of `stored` (capacity, D) of unit length. The first `used` rows hold something.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.used = 0
        self.live = 0
        self.stored: StoredVectors = np.empty((0, dimension), dtype=np.float16)
        self.scales: NDArray[np.float32] = np.empty(0, dtype=np.float32)
        self.numbers: Numbers = np.empty(0, dtype=np.int64)
        # Image numbers are handed out one after the other, so an array is the smallest map.
        self._row_of: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the rows in use and of what finds them."""
        a_row = self.stored.itemsize * self.dimension + 4 + 8
        return self.used * a_row + self._row_of.nbytes

    def find(self, numbers: Numbers) -> NDArray[np.int64]:
        """The rows of those of these images that are here, ascending, each once."""
        rows = self._rows_of(numbers)
        if rows.min(initial=0) == NO_ROW:
            rows = rows[rows != NO_ROW]
        # Numbers come ascending, and rows mostly in their order.
        is_ascending = bool((rows[1:] > rows[:-1]).all())
        return rows if is_ascending else np.unique(rows)

    def vectors(self, numbers: Numbers) -> Vectors:
        """The vectors (N, D) of these images, of unit length; zeros for one that is not here."""
        found = np.zeros((len(numbers), self.dimension), dtype=np.float32)
        rows = self._rows_of(numbers)
        here = rows != NO_ROW
        found[here] = self.stored[rows[here]]
        lengths = np.linalg.norm(found[here], axis=1, keepdims=True)
        found[here] /= lengths
        return found

    def live_rows(self) -> NDArray[np.int64]:
        """The rows whose image was not removed, ascending."""
        return np.flatnonzero(self.numbers[: self.used] != NO_NUMBER).astype(np.int64)

    def live_numbers(self) -> Numbers:
        """The numbers of the images that are here, in the order of their rows."""
        return self.numbers[self.live_rows()]

    def contents(self, *, is_settled: bool) -> tuple[Numbers, StoredVectors]:
        """Numbers (N,) and stored vectors (N, D); a view if rows are `is_settled`, never moved."""
        if self.live < self.used:
            return self.live_numbers(), self.stored[self.live_rows()]
        stored = self.stored[: self.used]
        return self.numbers[: self.used].copy(), stored if is_settled else stored.copy()

    def fill(self, numbers: Numbers, stored: StoredVectors, scales: NDArray[np.float32]) -> None:
        """Take over rows (M, D) and their scales (M,); `numbers` (N,) are those of the first N.

        -1 is the number of a row of nothing. What lies beyond N is room to grow.
        """
        assert self.used == 0, "only an empty block is filled"
        self.stored, self.scales = stored, scales
        self.numbers = np.full(len(stored), NO_NUMBER, dtype=np.int64)
        self._grow(len(numbers), int(numbers.max(initial=0)))
        self.numbers[: len(numbers)] = numbers
        is_live = numbers != NO_NUMBER
        self._row_of[numbers[is_live]] = np.flatnonzero(is_live)
        self.used = len(numbers)
        self.live = int(is_live.sum())

    def append(self, numbers: Numbers, stored: StoredVectors) -> None:
        """Put vectors (N, D) of images that are not here into the next rows."""
        first = self.used
        end = first + len(numbers)
        self._grow(end, int(numbers.max(initial=0)))
        self._write(np.arange(first, end), stored)
        self.numbers[first:end] = numbers
        self._row_of[numbers] = np.arange(first, end)
        self.used = end
        self.live += len(numbers)

    def replace_or_append(self, numbers: Numbers, stored: StoredVectors) -> None:
        """Put vectors (N, D) into the rows of their images, or into the next rows."""
        rows = self._rows_of(numbers)
        is_here = rows != NO_ROW
        if is_here.any():
            self._write(rows[is_here], stored[is_here])
        if not is_here.all():
            self.append(numbers[~is_here], stored[~is_here])

    def remove(self, numbers: Numbers, *, keep_places: bool) -> int:
        """Forget images; gives how many were here.

        With `keep_places` their rows stay behind without a number; else the last rows move there.
        """
        rows = self.find(numbers)
        self._row_of[self.numbers[rows]] = NO_ROW
        self.live -= len(rows)
        if keep_places:
            self.numbers[rows] = NO_NUMBER
            return len(rows)
        # From the last on, so that no row moves that is yet to go.
        for row in rows[::-1].tolist():
            last = self.used - 1
            if row != last:
                self.stored[row] = self.stored[last]
                self.scales[row] = self.scales[last]
                self.numbers[row] = self.numbers[last]
                self._row_of[self.numbers[row]] = row
            self.used = last
        return len(rows)

    def _rows_of(self, numbers: Numbers) -> NDArray[np.int64]:
        """The row (N,) of each image, -1 for one that is not here."""
        if len(numbers) and numbers.min() >= 0 and numbers.max() < len(self._row_of):
            return self._row_of[numbers].astype(np.int64)
        rows = np.full(len(numbers), NO_ROW, dtype=np.int64)
        is_known = (numbers >= 0) & (numbers < len(self._row_of))
        rows[is_known] = self._row_of[numbers[is_known]]
        return rows

    def _write(self, rows: NDArray[np.int64], stored: StoredVectors) -> None:
        self.stored[rows] = stored
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            wide = stored[start : start + ROWS_PER_BLOCK].astype(np.float32)
            self.scales[rows[start : start + ROWS_PER_BLOCK]] = 1 / np.linalg.norm(wide, axis=1)

    def _grow(self, used: int, number: int) -> None:
        capacity = len(self.numbers)
        if used > capacity:
            capacity = room_for(used)
            self.stored = _larger(self.stored, (capacity, self.dimension), self.used)
            self.scales = _larger(self.scales, (capacity,), self.used)
            self.numbers = _larger(self.numbers, (capacity,), self.used)
        if number >= len(self._row_of):
            size = max(number + number // 2 + 1, SMALLEST_CAPACITY)
            larger = np.full(size, NO_ROW, dtype=np.int32)
            larger[: len(self._row_of)] = self._row_of
            self._row_of = larger


def room_for(used: int) -> int:
    """How many rows there should be room for where so many are used."""
    # Untouched memory costs nothing, so the room is generous; small steps would copy often.
    return max(used + used // 2, SMALLEST_CAPACITY)


def untouched(shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
    """Memory of zeros that costs nothing before it is touched.

    numpy asks for huge pages. Where memory is in pieces the system first moves these together, and
    touching a gigabyte takes 2.9 s instead of 0.5.
    """
    length = math.prod(shape) * np.dtype(dtype).itemsize
    block = mmap.mmap(-1, max(1, length), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(block, dtype=dtype, count=math.prod(shape)).reshape(shape)


def _larger(old: NDArray[Any], shape: tuple[int, ...], used: int) -> NDArray[Any]:
    larger = untouched(shape, old.dtype.type)
    larger[:used] = old[:used]
    return larger
