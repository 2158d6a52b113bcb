"""Random owner's words, random filters over them, and what a filter means, in plain Python.

A record is an image as the API gives it (`Image`), so the meaning is that of the contract alone.
"""

from __future__ import annotations

import operator
import random
from datetime import datetime
from typing import Any

Record = dict[str, Any]
Filter = dict[str, Any]

STRINGS = ["", "a", "A", "b", "ab", "Ab", "É", "é", "ß", "日本", "10", "9", "true", "50%", "a_b"]
STRINGS += ["a'b", 'a"b', "a\\b", "🦊", " a", "zz", "Z"]
NUMBERS = [-3, 0, 1, 2, 2.5, 10, 1e-7, -0.25, 2**53, -(2**53)]
KEYS = ["k", "s", "quote'd", 'do"t', "a.b", "$.k", "日本", ""]
DATES = ["2026-05-01", "2026-05-01T00:30:00", "2025-12-31T23:59:59", "2026-05-01T12:00:00+02:00"]
COMPARISONS: dict[str, Any] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
TEXT_FIELDS = ["filename", "format", "caption", "collection", "id", "sha256"]
NUMBER_FIELDS = ["width", "height", "bytes"]


def random_metadata(random: random.Random) -> dict[str, Any]:
    """A few members of any JSON kind."""
    kinds = [
        lambda: random.choice(STRINGS),
        lambda: random.choice(NUMBERS),
        lambda: random.choice([True, False]),
        lambda: None,
        lambda: [random.choice(STRINGS)],
        lambda: {"k": random.choice(NUMBERS)},
    ]
    return {key: random.choice(kinds)() for key in KEYS if random.random() < 0.7}


def random_filter(random: random.Random, depth: int = 3) -> Filter:
    """A filter that the contract allows."""
    kind = random.random()
    if depth and kind < 0.15:
        return {"not": random_filter(random, depth - 1)}
    if depth and kind < 0.45:
        word = random.choice(["and", "or"])
        return {word: [random_filter(random, depth - 1) for _ in range(random.randint(1, 3))]}
    return random_leaf(random)


def random_leaf(random: random.Random) -> Filter:
    """One leaf, of any field with any operator that the field takes."""
    kind = random.random()
    if kind < 0.15:
        op = random.choice(["eq", "ne", "in", "contains", "exists"])
        return _leaf("tags", op, random, lambda: random.choice(STRINGS))
    if kind < 0.3:
        op = random.choice([*COMPARISONS, "ne", "in", "exists", "contains"])
        return _leaf(random.choice(TEXT_FIELDS), op, random, lambda: random.choice(STRINGS))
    if kind < 0.4:
        op = random.choice([*COMPARISONS, "ne", "in", "exists"])
        sizes = [0, 30, 40, 41, 2**31 - 1, 2**31, 2**53, -(2**53)]
        return _leaf(random.choice(NUMBER_FIELDS), op, random, lambda: random.choice(sizes))
    if kind < 0.5:
        op = random.choice([*COMPARISONS, "ne", "in", "exists"])
        field = random.choice(["taken_at", "created_at"])
        return _leaf(field, op, random, lambda: random.choice(DATES))
    field = "metadata." + random.choice(KEYS)
    op = random.choice([*COMPARISONS, "ne", "in", "exists", "contains"])
    values = STRINGS if op == "contains" else STRINGS + NUMBERS
    if op in {"eq", "ne", "in"}:
        values = [*values, True, False]
    return _leaf(field, op, random, lambda: random.choice(values))


def is_kept(record: Record, expression: Filter) -> bool:
    """Whether the filter keeps the image."""
    if "and" in expression:
        return all(is_kept(record, part) for part in expression["and"])
    if "or" in expression:
        return any(is_kept(record, part) for part in expression["or"])
    if "not" in expression:
        return not is_kept(record, expression["not"])
    return _keeps_leaf(record, expression["field"], expression["op"], expression["value"])


def _keeps_leaf(record: Record, field: str, op: str, value: Any) -> bool:
    if field == "tags":
        return _keeps_tags(record["tags"], op, value)
    if field.startswith("metadata."):
        return _keeps(record["metadata"].get(field.removeprefix("metadata.")), op, value)
    stored = record.get(field)
    if field in {"taken_at", "created_at"} and op != "exists":
        is_local = field == "taken_at"
        stored = None if stored is None else _moment(stored, is_local=is_local)
        if isinstance(value, list):
            return _keeps(stored, op, [_moment(one, is_local=is_local) for one in value])
        return _keeps(stored, op, _moment(value, is_local=is_local))
    return _keeps(stored, op, value)


def _leaf(field: str, op: str, random: random.Random, value: Any) -> Filter:
    if op == "exists":
        return {"field": field, "op": op, "value": random.choice([True, False])}
    if op == "in":
        return {"field": field, "op": op, "value": [value() for _ in range(random.randint(0, 3))]}
    return {"field": field, "op": op, "value": value()}


def _keeps_tags(tags: list[str], op: str, value: Any) -> bool:
    match op:
        case "exists":
            return bool(tags) is value
        case "in":
            return bool(set(tags) & set(value))
        case "ne":
            return value not in tags
        case _:
            return value in tags


def _keeps(stored: Any, op: str, value: Any) -> bool:
    match op:
        case "exists":
            return (stored is not None) is value
        case "ne":
            return not _keeps(stored, "eq", value)
        case "in":
            return any(_keeps(stored, "eq", one) for one in value)
        case "contains":
            return isinstance(stored, str) and value.lower() in stored.lower()
        case _:
            return _kind(stored) == _kind(value) and bool(COMPARISONS[op](stored, value))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _moment(written: str, *, is_local: bool) -> datetime:
    moment = datetime.fromisoformat(written)
    if is_local:
        return moment.replace(tzinfo=None)
    return moment.astimezone() if moment.tzinfo else datetime.fromisoformat(f"{moment}+00:00")
