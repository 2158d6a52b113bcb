"""Tables of pairs: TSV, CSV and JSON lines, read line by line and written so that they read back.

A table has a column that names the image (`image_id`, `sha256`, `image`, several may be given) and
one with the text (`text`, `caption`, `label` or `title`); others are passed by. A table of two
columns without a header is image and text. Text is UTF-8, with a byte order mark or without, or
UTF-16 with one; lines end in any way. In TSV a line is a row, and quotes mean something only round
a whole cell; CSV is RFC 4180 with `,` or `;`. A bad line is refused and the next one read.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, TextIO

from index.errors import TableError
from index.store.pairs import Pair

TableFormat = Literal["tsv", "csv", "jsonl"]
NameKind = Literal["id", "sha256", "any"]

SUFFIXES: dict[str, TableFormat] = {
    ".tsv": "tsv",
    ".tab": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
LINE_CHARACTERS = 131_072
TEXTS_PER_LINE = 100
IMAGE_COLUMNS: dict[str, NameKind] = {
    "image_id": "id",
    "sha256": "sha256",
    "image": "any",
    "file": "any",
    "filename": "any",
    "file_name": "any",
    "filepath": "any",
    "path": "any",
}
TEXT_COLUMNS = ("text", "caption", "label", "title")
WRITTEN_COLUMNS = ("image_id", "sha256", "image", "text")


@dataclass(frozen=True, slots=True)
class ImageName:
    """What a line calls its image; `any` is an id, a SHA-256, a file of the archive or a path."""

    kind: NameKind
    value: str


@dataclass(frozen=True, slots=True)
class TableLine:
    """One line: names of one image, the surest first, and texts of it as they were written."""

    number: int
    names: tuple[ImageName, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A line of the table or an entry of the archive that was not taken, and why."""

    reason: str
    line: int | None = None
    entry: str | None = None


def table_format(name: str) -> TableFormat | None:
    """The format that a file's name says, if it says one."""
    return SUFFIXES.get(PurePath(name.lower()).suffix)


def read_table(
    file: io.BufferedReader, format: TableFormat | None = None
) -> Iterator[TableLine | Refused]:
    """The lines of a table, in order; without `format` it is told by the first line.

    Raises TableError when the table is empty or its columns are not known.
    """
    is_utf_16 = file.peek(2)[:2] in {b"\xff\xfe", b"\xfe\xff"}
    text = io.TextIOWrapper(
        file,
        encoding="utf-16" if is_utf_16 else "utf-8-sig",
        # Bytes that are no text stay visible as halves of surrogate pairs, and refuse their line.
        errors="replace" if is_utf_16 else "surrogateescape",
    )
    lines = _Lines(text)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise TableError("it has no line")
    chosen = format or _sniffed(first)
    lines.put_back(first)
    if chosen == "jsonl":
        yield from _with_long_lines(lines, _json_lines(lines))
    else:
        rows = _tsv_rows(lines) if chosen == "tsv" else _csv_rows(lines, first)
        yield from _with_long_lines(lines, _named_rows(rows))


def write_table(pairs: Iterable[Pair], format: Literal["tsv", "jsonl"]) -> Iterator[str]:
    """The lines of a table of these pairs, each ended by a newline."""
    if format == "tsv":
        yield "\t".join(WRITTEN_COLUMNS) + "\n"
    for pair in pairs:
        cells = (pair.image_id, pair.sha256, pair.filename, pair.text)
        if format == "tsv":
            yield "\t".join(_quoted(cell) for cell in cells) + "\n"
        else:
            yield (
                json.dumps(dict(zip(WRITTEN_COLUMNS, cells, strict=True)), ensure_ascii=False)
                + "\n"
            )


class _Lines:
    """The lines of a stream, none longer than allowed: a longer one is passed by and noted."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self.number = 0
        self.too_long: list[int] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._waiting:
            self.number += 1
            return self._waiting.pop()
        while line := self._stream.readline(LINE_CHARACTERS):
            self.number += 1
            if len(line) < LINE_CHARACTERS or line.endswith("\n"):
                return line
            while not line.endswith("\n") and (line := self._stream.readline(LINE_CHARACTERS)):
                pass
            self.too_long.append(self.number)
        raise StopIteration

    def put_back(self, line: str) -> None:
        """Give the last line again."""
        self._waiting.append(line)
        self.number -= 1


def _with_long_lines(
    lines: _Lines, read: Iterator[TableLine | Refused]
) -> Iterator[TableLine | Refused]:
    for one in itertools.chain(read, (None,)):
        while lines.too_long:
            number = lines.too_long.pop(0)
            yield Refused(f"the line has over {LINE_CHARACTERS:,} characters", number)
        if one is not None:
            yield one


def _sniffed(first: str) -> TableFormat:
    if first.lstrip().startswith("{"):
        return "jsonl"
    return "tsv" if "\t" in first else "csv"


def _tsv_rows(lines: _Lines) -> Iterator[tuple[int, list[str] | Refused]]:
    for line in lines:
        yield lines.number, [_unquoted(cell) for cell in line.rstrip("\n").split("\t")]


def _csv_rows(lines: _Lines, first: str) -> Iterator[tuple[int, list[str] | Refused]]:
    delimiter = max(",;\t", key=lambda character: (first.count(character), character == ","))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        before = lines.number
        try:
            row = next(reader, None)
        except csv.Error as error:
            # A quote that never ends takes in lines until the cell is too long; go on after them.
            yield before + 1, Refused(f"the row can't be read as CSV: {error}", before + 1)
            continue
        if row is None:
            return
        yield before + 1, row


def _named_rows(
    rows: Iterator[tuple[int, list[str] | Refused]],
) -> Iterator[TableLine | Refused]:
    columns: _Columns | None = None
    for number, row in rows:
        if isinstance(row, Refused):
            yield row
            continue
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            columns = _Columns.of(row)
            if columns.is_header:
                continue
        if len(row) != columns.count:
            reason = f"it has {len(row)} cells where the first line has {columns.count}"
            yield Refused(reason, number)
            continue
        names = [ImageName(kind, row[place].strip()) for place, kind in columns.names]
        yield _line(number, names, [row[columns.text]])


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where a row has its image's names, the surest first, and its text."""

    names: tuple[tuple[int, NameKind], ...]
    text: int
    count: int
    is_header: bool

    @classmethod
    def of(cls, first: list[str]) -> _Columns:
        """What the first row says. Raises TableError."""
        titles = [cell.strip().lower() for cell in first]
        order = list(IMAGE_COLUMNS)
        places = sorted(
            (place for place, title in enumerate(titles) if title in IMAGE_COLUMNS),
            key=lambda place: order.index(titles[place]),
        )
        text = next((titles.index(title) for title in TEXT_COLUMNS if title in titles), None)
        if places and text is not None:
            names = tuple((place, IMAGE_COLUMNS[titles[place]]) for place in places)
            return cls(names, text, len(first), is_header=True)
        if len(first) == 2 and not places and text is None:
            return cls(((0, "any"),), 1, 2, is_header=False)
        raise TableError(
            "its first line names no column for the image (image_id, sha256 or image) "
            "and one for the text (text, caption or label)"
        )


def _json_lines(lines: _Lines) -> Iterator[TableLine | Refused]:
    for line in lines:
        if line.strip():
            yield _json_line(lines.number, line)


def _json_line(number: int, line: str) -> TableLine | Refused:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return Refused("it is not JSON", number)
    if not isinstance(found, dict):
        return Refused("it is no JSON object", number)
    texts: Any = found.get("texts")
    if texts is None:
        texts = [next((found[title] for title in TEXT_COLUMNS if title in found), None)]
    names: list[Any] = [found[title] for title in IMAGE_COLUMNS if found.get(title) is not None]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in [*texts, *names]):
        return Refused("its image and its text are not texts", number)
    kinds = [kind for title, kind in IMAGE_COLUMNS.items() if found.get(title) is not None]
    named = [ImageName(kind, name.strip()) for kind, name in zip(kinds, names, strict=True)]
    return _line(number, named, texts)


def _line(number: int, names: list[ImageName], texts: list[str]) -> TableLine | Refused:
    given = tuple(name for name in names if name.value)
    if any(_is_broken(text) for text in (*texts, *(name.value for name in given))):
        return Refused("it is not UTF-8", number)
    if not given:
        return Refused("it names no image", number)
    if not texts:
        return Refused("it has no text", number)
    if len(texts) > TEXTS_PER_LINE:
        return Refused(f"it has over {TEXTS_PER_LINE} texts", number)
    return TableLine(number, given, tuple(texts))


def _is_broken(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)


def _unquoted(cell: str) -> str:
    """A cell that is one quoted cell as CSV writes it, without the quotes; any other as it is."""
    inside = cell[1:-1]
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"' or '"' in inside.replace('""', ""):
        return cell
    return inside.replace('""', '"')


def _quoted(cell: str) -> str:
    """The cell so that `_unquoted`, and any reader that knows quotes, gives it back."""
    escaped = cell.replace('"', '""')
    return f'"{escaped}"' if cell.startswith('"') else cell
