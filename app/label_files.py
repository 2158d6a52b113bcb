"""Labels as people write them down: a file of them, one a line, or a few with commas."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model import LabelError, label_key

FILE_BYTES = 10_000_000
# The longest first: UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class PassedBy:
    """A line of a file that gave no label of its own, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels in the order given, without the blanks round them, and the lines passed by."""

    labels: tuple[str, ...]
    passed_by: tuple[PassedBy, ...] = ()


def labels_of(given: str) -> Labels:
    """The labels of the file of this name, or those between the commas if there is none.

    Raises LabelError for a file that can't be read, one without a label, and words that look like a
    file's name when there is no such file.
    """
    path = Path(given)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        # Too long for a name, or with a zero: no file has it.
        is_file = False
    if is_file:
        return read_labels(path)
    if "/" in given or given.endswith((".txt", ".csv", ".tsv")):
        raise LabelError(f"There is no file {given}.")
    return Labels(tuple(label.strip() for label in given.split(",")))


def read_labels(path: Path) -> Labels:
    """The labels of a file, one a line; blank lines and labels that were there before are named.

    Lines end in any way. The text is UTF-8, or what its byte order mark says. Raises LabelError.
    """
    labels: list[str] = []
    passed_by: list[PassedBy] = []
    first_lines: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        label = line.strip()
        key = label_key(label)
        if not key:
            passed_by.append(PassedBy(number, "it is blank"))
        elif key in first_lines:
            passed_by.append(PassedBy(number, f"{label!r} stands in line {first_lines[key]} too"))
        else:
            first_lines[key] = number
            labels.append(label)
    if not labels:
        raise LabelError(f"The file {path} has no label.")
    return Labels(tuple(labels), tuple(passed_by))


def _lines(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > FILE_BYTES:
            raise LabelError(f"The file {path} has over {FILE_BYTES:,} bytes.")
        content = path.read_bytes()
    except OSError as error:
        raise LabelError(f"The file {path} can't be read: {error.strerror}.") from error
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise LabelError(f"The file {path} is not {encoding.upper()} in line {line}.") from error
    if "\0" in text:
        raise LabelError(f"The file {path} is no text: it holds the character U+0000.")
    # `splitlines` would also break at characters that no editor shows as the end of a line.
    yield from text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
