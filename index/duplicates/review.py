"""Groups of images that look alike, for their owner to decide about; nothing is deleted unasked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from index import cursors
from index.duplicates.finder import DuplicateFinder
from index.errors import NotFound
from index.indexer import Indexer
from index.live_index import LiveIndex
from index.store import images, near_duplicates
from index.store.database import Database
from index.store.images import ImageRecord
from index.store.near_duplicates import Grade, NearDuplicate

# A group so large is many pictures of one thing; more of them would fill a page and a decision.
IMAGES_PER_GROUP = 50


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Images of which each looks like another of them, oldest first; at most fifty are shown."""

    grade: Grade
    images: tuple[ImageRecord, ...]
    size: int
    twos: tuple[NearDuplicate, ...]


@dataclass(frozen=True, slots=True)
class DuplicatePage:
    """One page of groups that wait for a decision, oldest first.

    `uncompared` images may belong to a group, and are not known to.
    """

    groups: list[DuplicateGroup]
    next_cursor: str | None
    total: int
    uncompared: int


class DuplicateReview:
    """Lists groups and takes decisions. Thread-safe; calls block for the database."""

    def __init__(
        self, database: Database, live: LiveIndex, indexer: Indexer, finder: DuplicateFinder
    ) -> None:
        self._database = database
        self._live = live
        self._indexer = indexer
        self._finder = finder

    def page(self, *, grade: Grade, limit: int, cursor: str | None = None) -> DuplicatePage:
        """A page of the groups of this grade that nobody decided about.

        Images that just arrived are compared first, some hundreds at a time. Raises CursorError,
        DatabaseUnavailable.
        """
        after = -1 if cursor is None else cursors.unpack_number(cursor)
        uncompared = self._finder.catch_up()
        with self._database.reading() as session:
            twos = [one for chunk in near_duplicates.undecided(session, grade) for one in chunk]
            groups = grouped((one.first_number, one.second_number) for one in twos)
            later = [group for group in groups if group[0] > after]
            shown = [group[:IMAGES_PER_GROUP] for group in later[:limit]]
            sizes = [len(group) for group in later[:limit]]
            records = images.by_number(session, [number for group in shown for number in group])
        found: list[DuplicateGroup] = []
        for group, size in zip(shown, sizes, strict=True):
            members = set(group)
            found.append(
                DuplicateGroup(
                    grade,
                    tuple(records[number] for number in group if number in records),
                    size,
                    tuple(two for two in twos if {two.first_number, two.second_number} <= members),
                )
            )
        next_cursor = cursors.pack({"n": shown[-1][0]}) if len(later) > limit else None
        return DuplicatePage(found, next_cursor, len(groups), uncompared)

    def keep(self, image_ids: Sequence[str]) -> int:
        """Decide that these images stay beside each other, whatever is found later.

        They are one group no more, in reviews and in searches. Gives how many twos that are.
        Raises NotFound for the first id that is not there, DatabaseUnavailable.
        """
        with self._database.writing() as session:
            numbers = images.numbers_by_id(session, image_ids)
            for image_id in image_ids:
                if image_id not in numbers:
                    raise NotFound("image", image_id)
            present = images.hold(session, sorted(numbers.values()))
            return near_duplicates.keep(session, self._live.generation.version.id, present)

    def delete(self, image_ids: Sequence[str]) -> int:
        """Delete these images; one that is gone already is fine. Gives how many were there.

        Raises DatabaseUnavailable.
        """
        deleted = 0
        for image_id in image_ids:
            try:
                self._indexer.delete(image_id)
            except NotFound:
                continue
            deleted += 1
        return deleted


def grouped(twos: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The numbers that `twos` link, each group ascending, groups by their first number."""
    leaders: dict[int, int] = {}

    def leader(number: int) -> int:
        while leaders.setdefault(number, number) != number:
            leaders[number] = leaders[leaders[number]]
            number = leaders[number]
        return number

    for first, second in twos:
        low, high = sorted((leader(first), leader(second)))
        leaders[high] = low
    groups: dict[int, list[int]] = {}
    for number in sorted(leaders):
        groups.setdefault(leader(number), []).append(number)
    return list(groups.values())
