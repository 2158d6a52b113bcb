"""Files and folders of pictures, classified with a bar on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from app.bars import bars, interruptible
from app.classifying import Asked, Question
from app.embedding_files import FILES_AT_ONCE, embed_files, shown_path
from app.services import Services
from index import Refusal, count_files, files_below
from model import SNIFF_BYTES, Classified, sniff


@dataclass(frozen=True, slots=True)
class ClassifiedFile:
    """A picture by the name it was found by, and what it shows."""

    name: str
    found: Classified


@dataclass(frozen=True, slots=True)
class ClassifiedFiles:
    """What became of the files, in a stable order.

    Files of folders that are no pictures are not counted; of the files that were given by name
    every one is either classified or refused.
    """

    classified: list[ClassifiedFile]
    refused: list[Refusal]
    was_interrupted: bool


def classify_with_bar(
    services: Services, question: Question, paths: Sequence[Path]
) -> tuple[Asked, ClassifiedFiles]:
    """The question as it was asked, and what every picture below `paths` shows.

    Ctrl-C ends it early with what is there. Raises what `Asked` raises, and QueueFull.
    """
    generation = services.live.generation
    asked = Asked(services, generation, question)
    done = ClassifiedFiles([], [], was_interrupted=False)
    with interruptible() as stop, bars() as progress:
        task = progress.add_task("Classifying", total=count_files(paths))
        files = iter(files_below(paths))
        while not stop.is_set() and (batch := list(islice(files, FILES_AT_ONCE))):
            pictures = [path for path, _ in batch if path in paths or _may_be_picture(path)]
            found = embed_files(services, generation.queue, pictures)
            names = [shown_path(pictures[place]) for place in found.places]
            answers = asked.answers(found.vectors) if names else []
            done.classified.extend(map(ClassifiedFile, names, answers))
            done.refused.extend(found.refused)
            progress.advance(task, len(batch))
    return asked, replace(done, was_interrupted=stop.is_set())


def _may_be_picture(path: Path) -> bool:
    """Whether its first bytes are those of an image, or can't be read, which is then said."""
    try:
        with path.open("rb") as file:
            return sniff(file.read(SNIFF_BYTES)) is not None
    except OSError:
        return True
