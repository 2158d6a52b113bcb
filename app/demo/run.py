"""The flow of the demonstration: load photographs, answer a sentence and a picture, serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.demo.photos import SAMPLE_PHOTOS, SamplePhoto
from app.errors import AppError
from app.ingesting import ingest_with_bar
from app.services import Services
from index import (
    DEFAULT_COLLECTION,
    ImagePart,
    ImageRecord,
    Imported,
    Part,
    Query,
    SearchResult,
    TextPart,
    Words,
)

HITS_SHOWN = 5
# The page asks for as many at once.
IMAGES_READ = 1_000


class NothingToShow(AppError):
    """There is no photograph to load; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked: a sentence, and the name of the photograph that others shall be like.

    None takes the newest photograph.
    """

    sentence: str
    picture: str | None = None


def run_demo(
    services: Services, questions: Questions, *, photos: Path | None = None, console: Console
) -> None:
    """Load the sample photographs, or those below `photos`, and print two answers.

    Photographs that are stored already are skipped, so that a second run starts at once.

    Raises NothingToShow.
    """
    if photos is not None and not photos.exists():
        message = f"There is no folder {photos}."
        raise NothingToShow(message)
    samples = [] if photos is not None else installed_samples()
    paths = [photos] if photos is not None else [path for _, path in samples]
    load(services, paths, console)
    name_samples(services, [sample for sample, _ in samples])
    images = newest(services)
    if not images:
        message = f"No picture was found in {photos}."
        raise NothingToShow(message)
    example = next((i for i in images if i.filename == questions.picture), images[0])
    answer(services, TextPart(questions.sentence), f"“{questions.sentence}”", console)
    answer(services, ImagePart(example.id), f"pictures like {example.filename}", console)


def installed_samples() -> list[tuple[SamplePhoto, Path]]:
    """The sample photographs whose packages are installed, with their files.

    Raises NothingToShow when there are none.
    """
    located = [(sample, sample.locate()) for sample in SAMPLE_PHOTOS]
    found = [(sample, path) for sample, path in located if path is not None]
    if not found:
        message = "No sample photographs are installed: pip install 'beholder[demo]'."
        raise NothingToShow(message)
    return found


def load(services: Services, paths: Sequence[Path], console: Console) -> Imported:
    """Import with a bar, then a line of counts and one for each file that was refused."""
    imported, _ = ingest_with_bar(services, paths, DEFAULT_COLLECTION)
    console.print(
        f"{imported.created} new, {imported.exists} already there, {len(imported.refused)} refused"
    )
    for refusal in imported.refused:
        console.print(f"  refused {refusal.path}: {refusal.reason}", highlight=False, markup=False)
    return imported


def name_samples(services: Services, samples: Sequence[SamplePhoto]) -> None:
    """Write title, licence and credit beside each sample photograph that lacks a caption."""
    by_filename = {Path(sample.path).name: sample for sample in samples}
    for image in newest(services):
        sample = by_filename.get(image.filename)
        if sample is not None and image.caption is None:
            services.indexer.update(image.id, partial(with_source, sample))


def with_source(sample: SamplePhoto, image: ImageRecord) -> Words:
    """The owner's words of an image, with what is known of the sample."""
    source = {"licence": sample.licence, "credit": sample.credit, "package": sample.package}
    return Words(image.tags, sample.title, {**image.metadata, **source})


def newest(services: Services) -> list[ImageRecord]:
    """The newest stored images, at most IMAGES_READ."""
    return services.library.page(limit=IMAGES_READ, cursor=None, where=None).images


def answer(services: Services, part: Part, title: str, console: Console) -> SearchResult:
    """Ask one question and print the best hits as a table."""
    result = services.searcher.search(Query([part], limit=HITS_SHOWN))
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    table.add_column("cosine", justify="right")
    table.add_column("photograph")
    table.add_column("what it is")
    for hit in result.hits:
        table.add_row(f"{hit.score:.3f}", escape(hit.image.filename), escape(described(hit.image)))
    console.print()
    console.print(table)
    console.print(f"answered in {result.timings.total:.0f} ms", style="dim")
    return result


def described(image: ImageRecord) -> str:
    """Caption and credit, or the place the photograph came from."""
    if image.caption is None:
        return str(image.metadata.get("path", ""))
    credit = image.metadata.get("credit")
    return f"{image.caption} ({credit})" if credit else image.caption
