"""Texts in the order of their code points, on every database and under every locale of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class CodePoints(FunctionElement[str]):
    """The text, to be compared by code point: in most locales PostgreSQL puts `a` before `B`."""

    type = String()
    inherit_cache = True


@compiles(CodePoints)
def _as_it_is(element: CodePoints, compiler: SQLCompiler, **kwargs: Any) -> str:
    return compiler.process(element.clauses, **kwargs)


@compiles(CodePoints, "postgresql")
def _postgresql(element: CodePoints, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f'({compiler.process(element.clauses, **kwargs)} COLLATE "C")'
