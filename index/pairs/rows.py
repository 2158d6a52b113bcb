"""The rows of a table as text: lines of any kind of newline, cells of TSV and CSV, quotes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

LINE_CHARACTERS = 131_072


@dataclass(frozen=True, slots=True)
class Refused:
    """A line of the table or an entry of the archive that was not taken, and why."""

    reason: str
    line: int | None = None
    entry: str | None = None


class Lines:
    """The lines of a stream, none longer than allowed: a longer one is passed by and noted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self.number = 0
        self.too_long: list[int] = []
        # The number of the first line given since this was last set to 0.
        self.row_begins = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._waiting.pop() if self._waiting else self._read()
        self.row_begins = self.row_begins or self.number
        return line

    def put_back(self, line: str) -> None:
        """Give the last line again."""
        self._waiting.append(line)
        self.row_begins = 0

    def _read(self) -> str:
        while line := self._stream.readline(LINE_CHARACTERS):
            self.number += 1
            if len(line) < LINE_CHARACTERS or line.endswith("\n"):
                return line
            while not line.endswith("\n") and (line := self._stream.readline(LINE_CHARACTERS)):
                pass
            self.too_long.append(self.number)
        raise StopIteration


def tsv_rows(lines: Lines) -> Iterator[tuple[int, list[str] | Refused]]:
    """The cells of each line, by its number; quotes mean something only round a whole cell."""
    for line in lines:
        yield lines.number, [_unquoted(cell) for cell in line.rstrip("\n").split("\t")]


def csv_rows(lines: Lines, first: str) -> Iterator[tuple[int, list[str] | Refused]]:
    """The cells of each row, by the number of its first line; `first` shows the delimiter."""
    delimiter = max(",;\t", key=lambda character: (first.count(character), character == ","))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.row_begins = 0
        try:
            row = next(reader, None)
        except csv.Error as error:
            # A quote that never ends takes in lines until the cell is too long; go on after them.
            refused = Refused(f"the row can't be read as CSV: {error}", lines.row_begins)
            yield lines.row_begins, refused
            continue
        if row is None:
            return
        yield lines.row_begins, row


def _unquoted(cell: str) -> str:
    """A cell that is one quoted cell as CSV writes it, without the quotes; any other as it is."""
    inside = cell[1:-1]
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"' or '"' in inside.replace('""', ""):
        return cell
    return inside.replace('""', '"')


def quoted(cell: str) -> str:
    """The cell so that `_unquoted`, and any reader that knows quotes, gives it back."""
    escaped = cell.replace('"', '""')
    return f'"{escaped}"' if cell.startswith('"') else cell
