"""Members of a JSON column in SQL, with one meaning on SQLite and PostgreSQL.

SQLAlchemy's own accessors differ between the two where a filter must not: SQLite gives true as 1
and can't name a key with a quotation mark; PostgreSQL fails when one row's text is no number.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class JsonKind(FunctionElement[str]):
    """`number`, `string`, `boolean`, `null`, `array` or `object`; NULL where the key is absent."""

    type = String()
    inherit_cache = True

    def __init__(self, column: InstrumentedAttribute[Any], key: str) -> None:
        super().__init__(column, literal(key))


class JsonText(FunctionElement[str]):
    """The member as text: numbers as written, booleans as `true` and `false`."""

    type = String()
    inherit_cache = True

    def __init__(self, column: InstrumentedAttribute[Any], key: str) -> None:
        super().__init__(column, literal(key))


class JsonNumber(FunctionElement[float]):
    """The member as a number; NULL where it is none."""

    type = Float()
    inherit_cache = True

    def __init__(self, column: InstrumentedAttribute[Any], key: str) -> None:
        super().__init__(column, literal(key))


@compiles(JsonKind, "sqlite")
def _sqlite_kind(element: JsonKind, compiler: SQLCompiler, **kwargs: Any) -> str:
    kind = (
        "CASE WHEN member.type IN ('integer', 'real') THEN 'number' "
        "WHEN member.type IN ('true', 'false') THEN 'boolean' "
        "WHEN member.type = 'text' THEN 'string' ELSE member.type END"
    )
    return _sqlite_member(kind, element, compiler, **kwargs)


@compiles(JsonText, "sqlite")
def _sqlite_text(element: JsonText, compiler: SQLCompiler, **kwargs: Any) -> str:
    text = (
        "CASE WHEN member.type IN ('true', 'false') THEN member.type "
        "ELSE CAST(member.atom AS TEXT) END"
    )
    return _sqlite_member(text, element, compiler, **kwargs)


@compiles(JsonNumber, "sqlite")
def _sqlite_number(element: JsonNumber, compiler: SQLCompiler, **kwargs: Any) -> str:
    number = "CASE WHEN member.type IN ('integer', 'real') THEN member.atom END"
    return _sqlite_member(number, element, compiler, **kwargs)


@compiles(JsonKind, "postgresql")
def _postgresql_kind(element: JsonKind, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _parts(element, compiler, **kwargs)
    return f"jsonb_typeof({column} -> {key})"


@compiles(JsonText, "postgresql")
def _postgresql_text(element: JsonText, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _parts(element, compiler, **kwargs)
    return f"({column} ->> {key})"


@compiles(JsonNumber, "postgresql")
def _postgresql_number(element: JsonNumber, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, key = _parts(element, compiler, **kwargs)
    return (
        f"CASE WHEN jsonb_typeof({column} -> {key}) = 'number' "
        f"THEN CAST({column} ->> {key} AS DOUBLE PRECISION) END"
    )


def _sqlite_member(
    expression: str, element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any
) -> str:
    column, key = _parts(element, compiler, **kwargs)
    # Both are compiled by SQLAlchemy, the key as a bound parameter.
    return f"(SELECT {expression} FROM json_each({column}) AS member WHERE member.key = {key})"  # noqa: S608


def _parts(element: FunctionElement[Any], compiler: SQLCompiler, **kwargs: Any) -> tuple[str, str]:
    column, key = element.clauses
    return compiler.process(column, **kwargs), compiler.process(key, **kwargs)
