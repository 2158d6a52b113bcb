"""Searches over one, several or all collections, as these are set up to be searched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sqlalchemy import and_

from index.collections import as_stored
from index.duplicates.stacking import StackedSearcher
from index.filters import Condition
from index.searcher import Query, Searcher, SearchResult
from index.store import collections
from index.store.collections import CollectionSettings
from index.store.database import Database
from index.store.schema import ImageRow


class CollectionSearcher:
    """Answers queries. Thread-safe; blocks as `Searcher` does."""

    def __init__(self, database: Database, searcher: Searcher, stacked: StackedSearcher) -> None:
        self._database = database
        self._searcher = searcher
        self._stacked = stacked

    def search(
        self, query: Query, *, among: Sequence[str] = (), stacks: bool | None = None
    ) -> SearchResult:
        """As `Searcher.search`, among the images of these collections; `query.where` narrows them.

        Without a name, all are searched but those that are to be named. A single one's settings
        stand in for the least score, and for whether copies are stacked, where those are None. A
        name that no collection has is a warning.

        Raises what `Searcher.search` raises.
        """
        names = dict.fromkeys(as_stored(name) for name in among)
        known: dict[str, CollectionSettings] = {}
        left_out: list[str] = []
        if names:
            with self._database.reading() as session:
                known = collections.settings_of(session, names)
        else:
            with self._database.connected() as connection:
                left_out = collections.left_out(connection)
        default = CollectionSettings()
        if len(names) == 1:
            default = known.get(next(iter(names)), default)
        scope: Condition | None = None
        if names:
            scope = ImageRow.collection.in_(list(names))
        elif left_out:
            scope = ImageRow.collection.not_in(left_out)
        wanted = dataclasses.replace(
            query,
            min_score=default.min_score if query.min_score is None else query.min_score,
            where=_both(scope, query.where),
        )
        is_stacked = default.group_duplicates if stacks is None else stacks
        result = (self._stacked if is_stacked else self._searcher).search(wanted)
        unknown = [f"There is no collection {name!r}." for name in names if name not in known]
        return dataclasses.replace(result, warnings=[*result.warnings, *unknown])


def _both(scope: Condition | None, where: Condition | None) -> Condition | None:
    if scope is None or where is None:
        return where if scope is None else scope
    return and_(scope, where)
