"""Lines of a table in, pairs out: the good ones kept, the others named with their reason."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from index.blobs import BlobStore
from index.errors import TextRejected
from index.indexer import Indexer
from index.pairs import split
from index.pairs.finding import ImageFinder, PictureSources
from index.pairs.rows import Refused
from index.pairs.tables import TableLine
from index.picture_hashes import PictureHashes
from index.store import changes, images, pairs
from index.store.database import Database
from index.uploads import clean_text
from model import ImageLimits

LINES_PER_BATCH = 256
LINES_ALLOWED = 1_000_000
REFUSALS_SHOWN = 1_000
TEXT_CHARACTERS = 10_000


@dataclass(slots=True)
class PairsAdded:
    """What became of the lines so far. Of the refused ones the first are kept, all are counted."""

    lines: int = 0
    added: int = 0
    existing: int = 0
    images_added: int = 0
    files_unused: int = 0
    refused_total: int = 0
    refused: list[Refused] = field(default_factory=list)

    def refuse(self, refused: Refused) -> None:
        """Count a refusal, and keep it while there is room."""
        self.refused_total += 1
        if len(self.refused) < REFUSALS_SHOWN:
            self.refused.append(refused)


class PairImporter:
    """Writes pairs in batches, each durable at once: stopped and run again it adds the rest."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        indexer: Indexer,
        hashes: PictureHashes,
        limits: ImageLimits,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._indexer = indexer
        self._hashes = hashes
        self._limits = limits

    def run(
        self,
        lines: Iterable[TableLine | Refused],
        sources: PictureSources | None = None,
        *,
        report: Callable[[PairsAdded], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> PairsAdded:
        """Add the pairs of these lines, and the pictures that they name in `sources`.

        A pair that is there already is counted and left as it is. Past a million lines the rest is
        not read. Raises TableError when the lines can't be read, DatabaseUnavailable, StorageFull.
        """
        sources = sources or PictureSources()
        outcome = PairsAdded()
        if sources.archive is not None:
            for entry in sources.archive.refused:
                outcome.refuse(Refused(entry.reason, entry=entry.name))
        finder = ImageFinder(self._database, self._blobs, self._indexer, self._limits, sources)
        try:
            for batch in _batches(_bounded(lines, outcome)):
                if should_stop():
                    break
                self._take(batch, finder, outcome)
                report(outcome)
        finally:
            finder.close()
        if sources.archive is not None:
            named = {*finder.entries_used, sources.table}
            outcome.files_unused = len(set(sources.archive.names) - named)
        return outcome

    def _take(
        self, batch: list[TableLine | Refused], finder: ImageFinder, outcome: PairsAdded
    ) -> None:
        good = [one for one in batch if isinstance(one, TableLine)]
        numbers = dict(zip((line.number for line in good), finder.find(good), strict=True))
        outcome.images_added = finder.images_added
        wanted: list[tuple[int, int, str]] = []
        for one in batch:
            if isinstance(one, Refused):
                outcome.refuse(one)
                continue
            number = numbers[one.number]
            if isinstance(number, str):
                outcome.refuse(Refused(number, one.number))
                continue
            for text in one.texts:
                try:
                    wanted.append((one.number, number, clean_pair_text(text)))
                except TextRejected as error:
                    outcome.refuse(Refused(error.reason, one.number))
        self._write(wanted, outcome)

    def _write(self, wanted: list[tuple[int, int, str]], outcome: PairsAdded) -> None:
        if not wanted:
            return
        numbers = sorted({number for _, number, _ in wanted})
        self._hashes.complete(numbers)
        with self._database.writing() as session:
            changes.take_lock(session)
            present = set(images.hold(session, numbers))
            split.place(session, sorted(present))
            kept = [(number, text) for _, number, text in wanted if number in present]
            added = pairs.add(session, list(dict.fromkeys(kept)))
        outcome.added += added
        outcome.existing += len(kept) - added
        for line, number, _ in wanted:
            if number not in present:
                outcome.refuse(Refused("its image was deleted meanwhile", line))


def clean_pair_text(text: str) -> str:
    """The text as it is stored: each run of blanks one space, none around. Raises TextRejected."""
    cleaned = clean_text(" ".join(text.split()), "/text", max_characters=TEXT_CHARACTERS)
    if not any(unicodedata.category(character)[0] not in "CZ" for character in cleaned):
        raise TextRejected("/text", "the text is empty")
    return cleaned


def _bounded(
    lines: Iterable[TableLine | Refused], outcome: PairsAdded
) -> Iterator[TableLine | Refused]:
    for one in lines:
        if outcome.lines >= LINES_ALLOWED:
            number = one.number if isinstance(one, TableLine) else one.line
            yield Refused(f"only the first {LINES_ALLOWED:,} lines are read at once", number)
            return
        outcome.lines += 1
        yield one


def _batches(lines: Iterator[TableLine | Refused]) -> Iterator[list[TableLine | Refused]]:
    while batch := list(islice(lines, LINES_PER_BATCH)):
        yield batch
