"""Images that look alike, two by two, and how far they have been looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from sqlalchemy import ColumnElement, delete, func, or_, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from index.store.images import VARIABLES_PER_STATEMENT
from index.store.schema import ComparisonRow, ImageRow, NearDuplicateRow

Grade = Literal["same", "similar"]
KEPT = "keep"
ROWS_PER_READ = 4_096


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two images, the older first. `cosine` and `differing_bits` are what was measured."""

    first_number: int
    second_number: int
    grade: Grade
    differing_bits: int | None
    cosine: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far one version has compared: images up to `last_number`, by these cosines.

    `measured_on` is the number of images that the cosines were measured on.
    """

    last_number: int
    same_cosine: float
    similar_cosine: float
    measured_on: int


def comparison(session: Session, model_version: str) -> Comparison | None:
    """How far a version has compared, if it has begun."""
    row = session.get(ComparisonRow, model_version)
    if row is None:
        return None
    return Comparison(row.last_number, row.same_cosine, row.similar_cosine, row.measured_on)


def set_comparison(session: Session, model_version: str, state: Comparison) -> None:
    """Write how far a version has compared."""
    session.merge(
        ComparisonRow(
            model_version=model_version,
            last_number=state.last_number,
            same_cosine=state.same_cosine,
            similar_cosine=state.similar_cosine,
            measured_on=state.measured_on,
        )
    )


def uncompared(session: Session, after_number: int, limit: int) -> list[int]:
    """The next images to compare, oldest first."""
    return list(
        session.scalars(
            select(ImageRow.number)
            .where(ImageRow.number > after_number)
            .order_by(ImageRow.number)
            .limit(limit)
        )
    )


def count_uncompared(session: Session, after_number: int) -> int:
    """How many images are still to be compared."""
    statement = select(func.count()).select_from(ImageRow)
    return session.scalar(statement.where(ImageRow.number > after_number)) or 0


def put(session: Session, model_version: str, found: Sequence[NearDuplicate]) -> None:
    """Write what was found; a decision about the same two images stays."""
    rows = [
        {
            "first_number": one.first_number,
            "second_number": one.second_number,
            "grade": one.grade,
            "differing_bits": one.differing_bits,
            "cosine": one.cosine,
            "model_version": model_version,
            "decision": "",
        }
        for one in found
    ]
    if rows:
        _upsert(session, rows, ("grade", "differing_bits", "cosine", "model_version"))


def keep(session: Session, model_version: str, numbers: Sequence[int]) -> int:
    """Decide that all these images are kept beside each other; gives how many twos that are."""
    rows = [
        {
            "first_number": first,
            "second_number": second,
            "grade": "similar",
            "differing_bits": None,
            "cosine": None,
            "model_version": model_version,
            "decision": KEPT,
        }
        for first, second in combinations(sorted(numbers), 2)
    ]
    if rows:
        _upsert(session, rows, ("decision",))
    return len(rows)


def discard(session: Session, where: ColumnElement[bool]) -> None:
    """Forget those found that `where` keeps and nobody decided about."""
    session.execute(delete(NearDuplicateRow).where(where, NearDuplicateRow.decision == ""))


def of_version(model_version: str) -> ColumnElement[bool]:
    """Keeps what one version found."""
    return NearDuplicateRow.model_version == model_version


def undecided(session: Session, grade: Grade) -> Iterator[list[NearDuplicate]]:
    """Every two of this grade that nobody decided about, in chunks, oldest first."""
    last = (-1, -1)
    place = tuple_(NearDuplicateRow.first_number, NearDuplicateRow.second_number)
    while True:
        rows = session.scalars(
            select(NearDuplicateRow)
            .where(
                NearDuplicateRow.decision == "",
                NearDuplicateRow.grade == grade,
                place > tuple_(*last),
            )
            .order_by(NearDuplicateRow.first_number, NearDuplicateRow.second_number)
            .limit(ROWS_PER_READ)
        ).all()
        if not rows:
            return
        yield [_record(row) for row in rows]
        last = (rows[-1].first_number, rows[-1].second_number)


def same_as(session: Session, numbers: Sequence[int]) -> list[NearDuplicate]:
    """The twos of grade `same`, one of them among `numbers`, that nobody decided to keep apart."""
    found: list[NearDuplicate] = []
    for start in range(0, len(numbers), VARIABLES_PER_STATEMENT):
        chunk = numbers[start : start + VARIABLES_PER_STATEMENT]
        rows = session.scalars(
            select(NearDuplicateRow).where(
                NearDuplicateRow.decision == "",
                NearDuplicateRow.grade == "same",
                or_(
                    NearDuplicateRow.first_number.in_(chunk),
                    NearDuplicateRow.second_number.in_(chunk),
                ),
            )
        )
        found.extend(_record(row) for row in rows)
    return found


def _upsert(session: Session, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement: Any = dialect.insert(NearDuplicateRow)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["first_number", "second_number"],
            set_={column: statement.excluded[column] for column in columns},
        ),
        rows,
    )


def _record(row: NearDuplicateRow) -> NearDuplicate:
    return NearDuplicate(
        row.first_number,
        row.second_number,
        row.grade,  # type: ignore[arg-type]
        row.differing_bits,
        row.cosine,
    )
