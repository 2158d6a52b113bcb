"""Searches whose hits stand for their copies: the best of each group, the others under it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import and_, true

from index.duplicates.finder import DuplicateFinder
from index.duplicates.review import grouped
from index.errors import StorageFull
from index.searcher import LIMIT_ALLOWED, Hit, Query, Searcher, SearchResult
from index.store import near_duplicates
from index.store.database import Database
from index.store.schema import ImageRow

# A search waits for no more than this many new images to be compared.
CAUGHT_UP_IMAGES = 64
# Pages of copies that are passed by; after these the answer has fewer hits, and a cursor.
PAGES_ALLOWED = 20
# How many steps from copy to copy a group is followed, and how many copies of a page.
STEPS_ALLOWED = 16


class StackedSearcher:
    """Answers queries with each picture once. Thread-safe; blocks as `Searcher` does."""

    def __init__(self, database: Database, searcher: Searcher, finder: DuplicateFinder) -> None:
        self._database = database
        self._searcher = searcher
        self._finder = finder

    def search(self, query: Query) -> SearchResult:
        """As `Searcher.search`, with copies of the same picture under the best hit of them.

        A copy that the filter or the least score leaves out is in no stack. Pages go on as those of
        `Searcher`: a picture whose best hit was on a page before is not shown again.
        """
        try:
            left = self._finder.catch_up(CAUGHT_UP_IMAGES)
        except StorageFull:
            # A search goes on when nothing can be written; what is known is stacked.
            left = 0
        first = result = self._searcher.search(query)
        hits = self._stacked(query, result.hits)
        for _ in range(PAGES_ALLOWED):
            if len(hits) >= query.limit or result.next_cursor is None:
                break
            rest = dataclasses.replace(
                query, limit=query.limit - len(hits), cursor=result.next_cursor
            )
            result = self._searcher.search(rest)
            hits += self._stacked(query, result.hits)
        warnings = list(first.warnings)
        if left:
            warnings.append(f"{left} images were not compared yet; copies of them are not stacked.")
        return dataclasses.replace(
            first, hits=hits, next_cursor=result.next_cursor, warnings=warnings
        )

    def _stacked(self, query: Query, hits: Sequence[Hit]) -> list[Hit]:
        groups = self._groups([hit.image.number for hit in hits])
        copies = sorted({number for group in groups for number in group})
        if not copies:
            return list(hits)
        among = and_(true() if query.where is None else query.where, ImageRow.number.in_(copies))
        ranked = self._searcher.search(
            dataclasses.replace(query, cursor=None, limit=LIMIT_ALLOWED, where=among)
        ).hits
        group_of = {number: place for place, group in enumerate(groups) for number in group}
        stacks: dict[int, list[Hit]] = {}
        for hit in ranked:
            stacks.setdefault(group_of[hit.image.number], []).append(hit)
        shown: list[Hit] = []
        for hit in hits:
            stack = stacks.get(group_of.get(hit.image.number, -1), [hit])
            if stack[0].image.number == hit.image.number:
                shown.append(dataclasses.replace(hit, copies=tuple(stack[1:])))
        return shown

    def _groups(self, numbers: Sequence[int]) -> list[list[int]]:
        """The groups of copies of the same picture that these images are in."""
        twos: set[tuple[int, int]] = set()
        fresh = set(numbers)
        seen: set[int] = set()
        with self._database.reading() as session:
            for _ in range(STEPS_ALLOWED):
                seen |= fresh
                found = near_duplicates.same_as(session, sorted(fresh))
                twos |= {(two.first_number, two.second_number) for two in found}
                fresh = {number for two in twos for number in two} - seen
                if not fresh or len(seen) > LIMIT_ALLOWED:
                    break
        return grouped(sorted(twos))
