"""Tables of pairs: every dialect people send, every bad line named, bounded whatever comes."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import TableError, TextRejected
from index.pairs.importer import clean_pair_text
from index.pairs.rows import LINE_CHARACTERS, Refused
from index.pairs.tables import (
    ImageName,
    TableFormat,
    TableLine,
    read_table,
    table_format,
    write_table,
)
from index.store.pairs import Pair


def read(content: bytes | str, format: TableFormat | None = None) -> list[TableLine | Refused]:
    """Every line of a table."""
    data = content.encode() if isinstance(content, str) else content
    return list(read_table(io.BufferedReader(io.BytesIO(data)), format))  # type: ignore[arg-type]


def seen(content: bytes | str, format: TableFormat | None = None) -> list[tuple[str, str]]:
    """The first name and the first text of each line, none of which may be refused."""
    lines = read(content, format)
    assert all(isinstance(line, TableLine) for line in lines), lines
    return [(line.names[0].value, line.texts[0]) for line in lines]  # type: ignore[union-attr]


def numbers_refused(content: bytes | str, format: TableFormat | None = None) -> list[int | None]:
    """The numbers of the refused lines."""
    return [line.line for line in read(content, format) if isinstance(line, Refused)]


def a_pair(text: str, filename: str = "a.png") -> Pair:
    """A pair as it is stored."""
    return Pair(
        1, "p", 1, "0123456789abcdef", "0" * 64, filename, "c", text, "train", datetime.now(UTC)
    )


ROWS = [("a.png", "a red coat"), ("b.png", "naïve café 猫")]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("delimiter", "format"), [("\t", "tsv"), (",", "csv"), (";", "csv")])
@pytest.mark.parametrize("has_header", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_every_newline_encoding_and_delimiter_reads_the_same(
    newline: str,
    encoding: str,
    delimiter: str,
    format: TableFormat,
    has_header: bool,
    ends: bool,
) -> None:
    """With a header or without, with a byte order mark or without, with a last newline or not."""
    rows = [("image", "text"), *ROWS] if has_header else ROWS
    content = newline.join(delimiter.join(row) for row in rows) + newline * ends
    assert seen(content.encode(encoding), format) == ROWS
    assert seen(content.encode(encoding)) == ROWS


def test_quotes_of_csv_hold_delimiters_newlines_and_quotes() -> None:
    """A line number is that of the physical line where the row begins."""
    content = 'image,text\r\na.png,"red, ""very"" red\r\nand more"\r\n\r\nb.png,blue\r\n'
    lines = read(content, "csv")
    assert [line.number for line in lines if isinstance(line, TableLine)] == [2, 5]
    assert seen(content, "csv") == [("a.png", 'red, "very" red\nand more'), ("b.png", "blue")]


def test_a_quote_that_is_never_closed_refuses_its_row_and_is_bounded() -> None:
    """What it swallowed is lost, but what follows a megabyte later is read."""
    junk = "b.png,blue\n" * 20_000
    lines = read(f'image,text\na.png,"red\n{junk}', "csv")
    refused = [line for line in lines if isinstance(line, Refused)]
    assert [one.line for one in refused] == [2]
    assert len(lines) > 5_000


def test_in_tsv_only_a_quoted_cell_has_quotes() -> None:
    """What spreadsheets write is read, and captions that begin with a word in quotes as well."""
    content = 'image\ttext\na.png\t"say ""hi"""\nb.png\t"hi" he said\nc.png\tan unclosed "\n'
    assert [text for _, text in seen(content)] == ['say "hi"', '"hi" he said', 'an unclosed "']


@pytest.mark.parametrize(
    ("header", "kinds"),
    [
        ("image_id\ttext", ["id"]),
        ("text\tsha256", ["sha256"]),
        ("filepath\ttitle", ["any"]),
        ("IMAGE\t Caption ", ["any"]),
        ("image\tsplit\tsha256\timage_id\tlabel", ["id", "sha256", "any"]),
    ],
)
def test_columns_are_known_by_their_names(header: str, kinds: list[str]) -> None:
    """In any order and case; others are passed by; the surest name of an image comes first."""
    (line,) = read(f"{header}\n" + "\t".join("x" for _ in header.split("\t")) + "\n")
    assert isinstance(line, TableLine)
    assert [name.kind for name in line.names] == kinds


def test_json_lines_take_one_text_or_several() -> None:
    """An object a line; blank lines are passed by."""
    content = '{"image_id": "x", "text": "a"}\n\n{"image": "a.png", "texts": ["b", "c"]}\n'
    first, second = read(content)
    assert first == TableLine(1, (ImageName("id", "x"),), ("a",))
    assert second == TableLine(3, (ImageName("any", "a.png"),), ("b", "c"))


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[1]",
        "null",
        '{"image": "a.png"}',
        '{"text": "a"}',
        '{"image": 7, "text": "a"}',
        '{"image": "a.png", "text": null}',
        '{"image": "a.png", "texts": "a"}',
        '{"image": "a.png", "texts": []}',
        '{"image": "a.png", "texts": ["a", 1]}',
        json.dumps({"image": "a.png", "texts": ["a"] * 101}),
        "[" * 60_000,
        '{"image": "a.png", "text": ' + "9" * 5_000 + "}",
    ],
)
def test_a_bad_json_line_is_refused_and_the_next_one_read(line: str) -> None:
    """Whatever is wrong with it."""
    good = '{"image": "b.png", "text": "b"}'
    assert numbers_refused(f"{good}\n{line}\n{good}\n", "jsonl") == [2]


@pytest.mark.parametrize(
    "line", [b"a.png", b"a.png\tx\ty", b"\ttext alone", b"a.png\tcaf\xe9", b"\xff\xfe\tx"]
)
def test_a_bad_row_is_refused_and_the_next_one_read(line: bytes) -> None:
    """Too few or too many cells, no image, bytes that are no text."""
    content = b"image\ttext\nok.png\tfine\n" + line + b"\nok.png\tfine\n"
    assert numbers_refused(content, "tsv") == [3]
    assert numbers_refused(content.replace(b"\t", b","), "csv") == [3]


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff", "a,b,c\n1,2,3\n", "image\nx\n"])
def test_what_has_no_columns_is_no_table(content: str) -> None:
    """The reason names the columns that are looked for."""
    with pytest.raises(TableError):
        read(content)


@pytest.mark.parametrize("format", ["tsv", "csv", "jsonl"])
def test_a_line_of_any_length_is_passed_by_in_bounded_memory(format: TableFormat) -> None:
    """It is refused by its number, and never held whole."""
    good = {"tsv": "a.png\tred\n", "csv": "a.png,red\n", "jsonl": '{"image":"a.png","text":"r"}\n'}
    long = {"tsv": "b.png\t", "csv": "b.png,", "jsonl": '{"image":"b.png","text":"'}
    content = good[format] + long[format] + "x" * (5 * LINE_CHARACTERS) + "\n" + good[format]
    assert numbers_refused(content, format) == [2]
    lines = read(content, format)
    assert [line.number for line in lines if isinstance(line, TableLine)] == [1, 3]
    reads = CountedReads(content.encode())
    for _ in read_table(io.BufferedReader(reads), format):
        pass
    assert reads.largest <= 1 << 17


class CountedReads(io.RawIOBase):
    """Bytes that know the largest piece that was asked of them."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)
        self.largest = 0

    def readable(self) -> bool:
        """They are."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """The next bytes."""
        self.largest = max(self.largest, len(buffer))
        data = self._content.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def test_a_name_says_the_format_or_nothing() -> None:
    """Suffixes have no case."""
    assert table_format("A.TSV") == "tsv"
    assert table_format("folder.csv/x.jsonl") == "jsonl"
    assert table_format("x.txt") is None


def _stored(text: str) -> str | None:
    try:
        return clean_pair_text(text)
    except TextRejected:
        return None


STORED = st.text(st.characters(exclude_categories=["Cs"])).map(_stored).filter(lambda t: t)


@given(st.lists(STORED, min_size=1, max_size=5), st.sampled_from(["tsv", "jsonl"]))
def test_every_stored_text_survives_a_table(texts: list[str], format: TableFormat) -> None:
    """What is written reads back the same, and would be stored the same again."""
    written = "".join(write_table([a_pair(text) for text in texts], format))  # type: ignore[arg-type]
    lines = read(written, format)
    assert [line.texts for line in lines if isinstance(line, TableLine)] == [(t,) for t in texts]
    assert len(lines) == len(texts)
    assert [clean_pair_text(text) for text in texts] == texts


@given(st.binary(max_size=300), st.sampled_from(["tsv", "csv", "jsonl", None]))
def test_no_bytes_end_in_anything_but_lines_and_refusals(
    content: bytes, format: TableFormat | None
) -> None:
    """Or in one error that says that it is no table."""
    try:
        lines = read(content, format)
    except TableError:
        return
    assert all(isinstance(line, TableLine | Refused) for line in lines)
