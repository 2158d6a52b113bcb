"""Metadata filters: from the contract's JSON to a SQL condition on `images`.

    {"and": [filter, …]}  {"or": [filter, …]}  {"not": filter}
    {"field": NAME, "op": OP, "value": VALUE}

NAME is a column of the contract's `Image`, or `metadata.<key>`. A missing value fulfils no leaf but
`exists: false` and `ne`. Texts are compared by code point, on both databases; `contains` is for
texts and tags, and takes capitals and small letters of a text for the same. Dates are compared as
written: `taken_at` in the camera's local time.
"""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    false,
    func,
    not_,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.orm import InstrumentedAttribute

from index.errors import FilterError
from index.store.json_members import JsonKind, JsonNumber, JsonText
from index.store.schema import ImageRow, ImageTagRow
from index.store.text_order import CodePoints

DEPTH_ALLOWED = 8
LEAVES_ALLOWED = 100
VALUES_ALLOWED = 1_000
TEXT_ALLOWED = 1_000
# What both databases hold without rounding or overflow.
NUMBER_ALLOWED = 2**53

Json: TypeAlias = Any
Condition: TypeAlias = ColumnElement[bool]

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
OPERATORS = frozenset({*COMPARISONS, "ne", "in", "exists", "contains"})


@dataclass(frozen=True, slots=True)
class _Field:
    column: InstrumentedAttribute[Any] | ColumnElement[Any]
    read: Callable[[Json, str], Any]


def condition(expression: Json | None, collections: str | Sequence[str] | None) -> Condition | None:
    """The condition of a filter and of one or several collections; None for neither.

    Raises FilterError, whose pointer begins at the `filter` of the request.
    """
    parts: list[Condition] = []
    if expression is not None:
        parts.append(_Compiler().compile(expression, "/filter", 1))
    names = [collections] if isinstance(collections, str) else collections
    if names:
        parts.append(ImageRow.collection.in_([unicodedata.normalize("NFC", n) for n in names]))
    return and_(*parts) if parts else None


class _Compiler:
    def __init__(self) -> None:
        self._leaves = 0

    def compile(self, expression: Json, pointer: str, depth: int) -> Condition:
        if not isinstance(expression, Mapping):
            raise FilterError(pointer, "a filter is an object")
        if depth > DEPTH_ALLOWED:
            raise FilterError(pointer, f"filters nest at most {DEPTH_ALLOWED} deep")
        keys = set(expression)
        if keys in ({"and"}, {"or"}):
            (word,) = keys
            parts = expression[word]
            if not isinstance(parts, list) or not parts:
                raise FilterError(f"{pointer}/{word}", "give a list of at least one filter")
            conditions = [
                self.compile(part, f"{pointer}/{word}/{position}", depth + 1)
                for position, part in enumerate(parts)
            ]
            return and_(*conditions) if word == "and" else or_(*conditions)
        if keys == {"not"}:
            return not_(self.compile(expression["not"], f"{pointer}/not", depth + 1))
        if keys - {"field", "op", "value"} or not {"field", "op"} <= keys:
            raise FilterError(pointer, "give `and`, `or`, `not`, or `field`, `op` and `value`")
        self._leaves += 1
        if self._leaves > LEAVES_ALLOWED:
            raise FilterError(pointer, f"a filter has at most {LEAVES_ALLOWED} leaves")
        return _leaf(expression, pointer)


def _leaf(leaf: Mapping[str, Json], pointer: str) -> Condition:
    name, op = leaf["field"], leaf["op"]
    if not isinstance(op, str) or op not in OPERATORS:
        raise FilterError(f"{pointer}/op", f"the operators are {', '.join(sorted(OPERATORS))}")
    if "value" not in leaf and op != "exists":
        raise FilterError(f"{pointer}/value", "a value is needed")
    value = leaf.get("value", True)
    if op == "exists" and not isinstance(value, bool):
        raise FilterError(f"{pointer}/value", "`exists` takes true or false")
    if not isinstance(name, str):
        raise FilterError(f"{pointer}/field", "a field is a string")
    if name == "tags":
        return _tags(op, value, f"{pointer}/value")
    if name.startswith("metadata."):
        key = _text(name.removeprefix("metadata."), f"{pointer}/field")
        return _metadata(key, op, value, f"{pointer}/value")
    if name not in FIELDS:
        known = ", ".join(sorted([*FIELDS, "tags", "metadata.<key>"]))
        raise FilterError(f"{pointer}/field", f"the fields are {known}")
    return _column(FIELDS[name], op, value, f"{pointer}/value")


def _column(field: _Field, op: str, value: Json, pointer: str) -> Condition:
    column: Any = field.column
    if op == "exists":
        is_there: Condition = column.is_not(None)
        return is_there if value else not_(is_there)
    if op == "in":
        values = [field.read(item, f"{pointer}/{i}") for i, item in _list(value, pointer)]
        return _kept(column.in_(values))
    if op == "contains":
        if field.read is not _text:
            raise FilterError(pointer, "`contains` is for texts and tags")
        return _kept(_contains(column, _text(value, pointer)))
    if op == "ne":
        return or_(column.is_(None), column != field.read(value, pointer))
    if field.read is _text:
        column = CodePoints(column)
    return _kept(COMPARISONS[op](column, field.read(value, pointer)))


def _tags(op: str, value: Json, pointer: str) -> Condition:
    if op == "exists":
        return _tagged(true()) if value else not_(_tagged(true()))
    if op == "in":
        return _tagged(
            ImageTagRow.tag.in_([_text(v, f"{pointer}/{i}") for i, v in _list(value, pointer)])
        )
    if op in {"eq", "contains"}:
        return _tagged(ImageTagRow.tag == _text(value, pointer))
    if op == "ne":
        return not_(_tagged(ImageTagRow.tag == _text(value, pointer)))
    raise FilterError(pointer, "tags take eq, ne, in, contains and exists")


def _tagged(condition: ColumnElement[bool]) -> Condition:
    return (
        select(ImageTagRow.tag)
        .where(ImageTagRow.image_number == ImageRow.number, condition)
        .exists()
    )


def _metadata(key: str, op: str, value: Json, pointer: str) -> Condition:  # noqa: PLR0911
    text = JsonText(ImageRow.details, key)
    if op == "exists":
        is_there = _kept(JsonKind(ImageRow.details, key) != "null")
        return is_there if value else not_(is_there)
    if op == "in":
        equal = [_equals(key, item, f"{pointer}/{i}") for i, item in _list(value, pointer)]
        return or_(false(), *equal)
    if op == "eq":
        return _equals(key, value, pointer)
    if op == "ne":
        return not_(_equals(key, value, pointer))
    if op == "contains":
        return and_(_is_kind(key, "string"), _kept(_contains(text, _text(value, pointer))))
    if isinstance(value, str):
        compared = COMPARISONS[op](CodePoints(text), _text(value, pointer))
        return and_(_is_kind(key, "string"), _kept(compared))
    number = JsonNumber(ImageRow.details, key)
    return _kept(COMPARISONS[op](number, _number(value, pointer)))


def _equals(key: str, value: Json, pointer: str) -> Condition:
    text = JsonText(ImageRow.details, key)
    if isinstance(value, bool):
        return and_(_is_kind(key, "boolean"), _kept(text == str(value).lower()))
    if isinstance(value, str):
        return and_(_is_kind(key, "string"), _kept(text == _text(value, pointer)))
    return _kept(JsonNumber(ImageRow.details, key) == _number(value, pointer))


def _contains(text: Any, value: str) -> ColumnElement[bool]:
    # The database makes both sides small: its rules and Python's differ (a final sigma).
    escaped = value.replace("/", "//").replace("%", "/%").replace("_", "/_")
    found: ColumnElement[bool] = func.lower(text).like(func.lower(f"%{escaped}%"), escape="/")
    return found


def _is_kind(key: str, kind: str) -> Condition:
    return _kept(JsonKind(ImageRow.details, key) == kind)


def _kept(condition: Any) -> Condition:
    """The condition with SQL's third truth value taken as false, so that `not` means not."""
    return func.coalesce(condition, false())


def _list(value: Json, pointer: str) -> list[tuple[int, Json]]:
    if not isinstance(value, list):
        raise FilterError(pointer, "`in` takes a list")
    if len(value) > VALUES_ALLOWED:
        raise FilterError(pointer, f"a list has at most {VALUES_ALLOWED} values")
    return list(enumerate(value))


def _text(value: Json, pointer: str) -> str:
    if not isinstance(value, str):
        raise FilterError(pointer, "a text is needed")
    if len(value) > TEXT_ALLOWED:
        raise FilterError(pointer, f"a text has at most {TEXT_ALLOWED} characters")
    # PostgreSQL refuses NUL in a text, and a lone surrogate has no UTF-8 on either database.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise FilterError(pointer, "the text has a character that can't be stored")
    # As stored texts are.
    return unicodedata.normalize("NFC", value)


def _number(value: Json, pointer: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FilterError(pointer, "a number or a text is needed")
    if not -NUMBER_ALLOWED <= value <= NUMBER_ALLOWED:
        raise FilterError(pointer, "the number is out of range")
    return value


def _integer(value: Json, pointer: str) -> int:
    number = _number(value, pointer)
    if number != int(number):
        raise FilterError(pointer, "a whole number is needed")
    return int(number)


def _moment(value: Json, pointer: str) -> datetime:
    moment = _local_moment(value, pointer)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise FilterError(pointer, "the moment is out of range") from error


def _local_moment(value: Json, pointer: str) -> datetime:
    text = _text(value, pointer)
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time())
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise FilterError(pointer, "a date or moment of RFC 3339 is needed") from error


def _taken_moment(value: Json, pointer: str) -> datetime:
    # The column holds the camera's local time; a zone in the question would compare unlike things.
    return _local_moment(value, pointer).replace(tzinfo=None)


FIELDS: dict[str, _Field] = {
    "id": _Field(ImageRow.id, _text),
    "sha256": _Field(ImageRow.sha256, _text),
    "collection": _Field(ImageRow.collection, _text),
    "filename": _Field(ImageRow.filename, _text),
    "format": _Field(ImageRow.format, _text),
    "caption": _Field(ImageRow.caption, _text),
    # Any number may be asked for, also one that the column has no room for.
    "width": _Field(type_coerce(ImageRow.width, BigInteger), _integer),
    "height": _Field(type_coerce(ImageRow.height, BigInteger), _integer),
    "bytes": _Field(ImageRow.size_bytes, _integer),
    "created_at": _Field(ImageRow.created_at, _moment),
    "taken_at": _Field(ImageRow.taken_at, _taken_moment),
}
