"""Fingerprints of what images look like: derived from the files, made again where missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from index.store.images import VARIABLES_PER_STATEMENT
from index.store.schema import ImageRow, PictureHashRow


def put(session: Session, hashes: Mapping[int, bytes]) -> None:
    """Write the fingerprint of each image number, replacing an older one."""
    if not hashes:
        return
    session.execute(delete(PictureHashRow).where(PictureHashRow.image_number.in_(list(hashes))))
    session.execute(
        insert(PictureHashRow),
        [{"image_number": number, "hash": found} for number, found in hashes.items()],
    )


def get_many(session: Session, numbers: Sequence[int]) -> dict[int, bytes]:
    """The fingerprints that are there among those of `numbers`."""
    found: dict[int, bytes] = {}
    for start in range(0, len(numbers), VARIABLES_PER_STATEMENT):
        chunk = numbers[start : start + VARIABLES_PER_STATEMENT]
        rows = session.execute(
            select(PictureHashRow.image_number, PictureHashRow.hash).where(
                PictureHashRow.image_number.in_(chunk)
            )
        )
        found.update((row.image_number, row.hash) for row in rows)
    return found


def between(session: Session, after_number: int, up_to: int) -> dict[int, bytes]:
    """The fingerprints of the images after `after_number` until `up_to`."""
    rows = session.execute(
        select(PictureHashRow.image_number, PictureHashRow.hash).where(
            PictureHashRow.image_number > after_number, PictureHashRow.image_number <= up_to
        )
    )
    return {row.image_number: row.hash for row in rows}


def missing(session: Session, numbers: Sequence[int]) -> list[tuple[int, str]]:
    """The stored images of `numbers` without a fingerprint, as (number, sha256)."""
    found: list[tuple[int, str]] = []
    known = select(PictureHashRow.hash).where(PictureHashRow.image_number == ImageRow.number)
    for start in range(0, len(numbers), VARIABLES_PER_STATEMENT):
        chunk = numbers[start : start + VARIABLES_PER_STATEMENT]
        rows = session.execute(
            select(ImageRow.number, ImageRow.sha256)
            .where(ImageRow.number.in_(chunk), ~known.exists())
            .order_by(ImageRow.number)
        )
        found.extend((row.number, row.sha256) for row in rows)
    return found
