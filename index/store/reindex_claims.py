"""Who embeds which images: ranges that workers of one reindex take, each for itself.

A reindex that runs has a row of its own, without images; workers join while it is alive. A range
that was finished is kept with its counts until the next run begins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, CursorResult, Select, delete, func, select, update
from sqlalchemy.orm import Session

from index.store import embeddings
from index.store.job_rows import now_of
from index.store.schema import ModelVersionRow, ReindexClaimRow

# As long as a worker's lease of its job: who is silent for so long is dead.
CLAIM_SECONDS = 30.0
ROWS_PER_READ = 512


@dataclass(frozen=True, slots=True)
class Claim:
    """A range that one worker embeds: each image's number and digest, ascending."""

    number: int
    images: tuple[tuple[int, str], ...]


def begin(session: Session, model_version: str, worker: str) -> None:
    """Open a run that others may join; it takes the place of one before it."""
    session.execute(
        delete(ReindexClaimRow).where(
            ReindexClaimRow.model_version == model_version,
            ReindexClaimRow.is_done | (ReindexClaimRow.last_number == 0),
        )
    )
    _insert(session, model_version, worker, 0, 0)


def end(session: Session, model_version: str, worker: str) -> None:
    """Give back whatever the worker holds, the run itself if it opened it."""
    session.execute(delete(ReindexClaimRow).where(*_held(model_version, worker)))


def renew(session: Session, model_version: str, worker: str) -> None:
    """Keep what the worker holds for a while longer."""
    session.execute(
        update(ReindexClaimRow)
        .where(*_held(model_version, worker))
        .values(expires_at=now_of(session) + timedelta(seconds=CLAIM_SECONDS))
    )


def running(session: Session) -> str | None:
    """A model version of which a run is open and alive."""
    return session.scalar(_open_runs(session).limit(1))


def take(
    session: Session, model_version: str, worker: str, *, passing_by: Collection[int], limit: int
) -> Claim | None:
    """The next images that the version lacks and nobody holds, now held by `worker`.

    None when there are none, or the run is over.
    """
    # One worker looks at a time; a stronger lock would keep embeddings from being written.
    session.execute(
        select(ModelVersionRow.id)
        .where(ModelVersionRow.id == model_version)
        .with_for_update(key_share=True)
    )
    is_open = _open_runs(session).where(ReindexClaimRow.model_version == model_version).limit(1)
    if session.scalar(is_open) is None:
        return None
    session.execute(
        delete(ReindexClaimRow).where(
            ReindexClaimRow.model_version == model_version,
            ReindexClaimRow.last_number > 0,
            ReindexClaimRow.expires_at < now_of(session),
            ~ReindexClaimRow.is_done,
        )
    )
    rows = session.execute(
        select(ReindexClaimRow.first_number, ReindexClaimRow.last_number).where(
            ReindexClaimRow.model_version == model_version,
            ReindexClaimRow.last_number > 0,
            ~ReindexClaimRow.is_done,
        )
    )
    held = [range(first, last + 1) for first, last in rows]
    after = -1
    while missing := embeddings.missing(
        session, model_version, after_number=after, limit=ROWS_PER_READ
    ):
        after = missing[-1][0]
        free = _first_free(missing, held, passing_by, limit)
        if free:
            number = _insert(session, model_version, worker, free[0][0], free[-1][0])
            return Claim(number, free)
    return None


def finish(session: Session, claim: Claim, *, embedded: int, copied: int) -> bool:
    """Note what became of a range; false when it was too slow and another has taken it."""
    result = session.execute(
        update(ReindexClaimRow)
        .where(ReindexClaimRow.number == claim.number)
        .values(is_done=True, embedded=embedded, copied=copied)
    )
    assert isinstance(result, CursorResult), "an update has a row count"
    return bool(result.rowcount)


def totals(session: Session, model_version: str) -> tuple[int, int]:
    """How many images the present run has embedded, and how many it has copied."""
    row = session.execute(
        select(
            func.coalesce(func.sum(ReindexClaimRow.embedded), 0),
            func.coalesce(func.sum(ReindexClaimRow.copied), 0),
        ).where(ReindexClaimRow.model_version == model_version, ReindexClaimRow.is_done)
    ).one()
    return int(row[0]), int(row[1])


def _open_runs(session: Session) -> Select[str]:
    return select(ReindexClaimRow.model_version).where(
        ReindexClaimRow.last_number == 0, ReindexClaimRow.expires_at > now_of(session)
    )


def _first_free(
    missing: Sequence[tuple[int, str]],
    held: Sequence[range],
    passing_by: Collection[int],
    limit: int,
) -> tuple[tuple[int, str], ...]:
    """The first images that nobody holds, up to the next that somebody does."""
    free: list[tuple[int, str]] = []
    for number, sha256 in missing:
        if any(number in one for one in held):
            if free:
                break
        elif number not in passing_by:
            free.append((number, sha256))
            if len(free) == limit:
                break
    return tuple(free)


def _insert(session: Session, model_version: str, worker: str, first: int, last: int) -> int:
    row = ReindexClaimRow(
        model_version=model_version,
        worker=worker,
        first_number=first,
        last_number=last,
        expires_at=now_of(session) + timedelta(seconds=CLAIM_SECONDS),
        is_done=False,
        embedded=0,
        copied=0,
    )
    session.add(row)
    session.flush()
    return row.number


def _held(model_version: str, worker: str) -> tuple[ColumnElement[bool], ...]:
    return (
        ReindexClaimRow.model_version == model_version,
        ReindexClaimRow.worker == worker,
        ~ReindexClaimRow.is_done,
    )
