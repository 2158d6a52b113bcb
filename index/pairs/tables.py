"""Tables of pairs: TSV, CSV and JSON lines, read line by line and written so that they read back.

A table has a column that names the image (`image_id`, `sha256`, `image`, several may be given) and
one with the text (`text`, `caption`, `label` or `title`); others are passed by. A table of two
columns without a header is image and text. Text is UTF-8, with a byte order mark or without, or
UTF-16 with one; lines end in any way. In TSV a line is a row, and quotes mean something only round
a whole cell; CSV is RFC 4180 with `,` or `;`. A bad line is refused and the next one read.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from index.errors import TableError
from index.pairs.rows import LINE_CHARACTERS, Lines, Refused, csv_rows, quoted, tsv_rows
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
    with text:
        yield from _table_lines(Lines(text), format)


def write_table(pairs: Iterable[Pair], format: Literal["tsv", "jsonl"]) -> Iterator[str]:
    """The lines of a table of these pairs, each ended by a newline."""
    if format == "tsv":
        yield "\t".join(WRITTEN_COLUMNS) + "\n"
    for pair in pairs:
        cells = (pair.image_id, pair.sha256, pair.filename, pair.text)
        if format == "tsv":
            yield "\t".join(quoted(cell) for cell in cells) + "\n"
        else:
            yield (
                json.dumps(dict(zip(WRITTEN_COLUMNS, cells, strict=True)), ensure_ascii=False)
                + "\n"
            )


def _table_lines(lines: Lines, format: TableFormat | None) -> Iterator[TableLine | Refused]:
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise TableError("it has no line")
    chosen = format or _sniffed(first)
    lines.put_back(first)
    if chosen == "jsonl":
        yield from _with_long_lines(lines, _json_lines(lines))
    else:
        rows = tsv_rows(lines) if chosen == "tsv" else csv_rows(lines, first)
        yield from _with_long_lines(lines, _named_rows(rows))


def _with_long_lines(
    lines: Lines, read: Iterator[TableLine | Refused]
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


def _json_lines(lines: Lines) -> Iterator[TableLine | Refused]:
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
