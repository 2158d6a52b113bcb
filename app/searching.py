"""`beholder search`: a query from the command line, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.api.search import search_out
from app.output import one_line
from app.services import Services
from index import Part, PicturePart, Query, SearchResult, TextPart


def search(
    services: Services,
    text: str | None,
    image: Path | None,
    *,
    limit: int,
    collections: Sequence[str] = (),
) -> SearchResult:
    """The hits of a sentence, a picture, or both. Raises what `Searcher.search` raises."""
    parts: list[Part] = []
    if image is not None:
        parts.append(PicturePart(image))
    if text is not None:
        parts.append(TextPart(text))
    return services.collection_searcher.search(Query(parts=parts, limit=limit), among=collections)


def as_json(result: SearchResult) -> dict[str, Any]:
    """The same document that the API answers."""
    return search_out(result, root_path="").model_dump(mode="json")


def print_table(result: SearchResult) -> None:
    """The hits on standard output; warnings on standard error."""
    table = Table(box=None, pad_edge=False)
    for heading in ("score", "id", "size", "file"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "file")
    for hit in result.hits:
        image = hit.image
        shown = str(image.metadata.get("path", image.filename))
        # Names are data: neither brackets nor control characters in them may do anything.
        name = Text(one_line(shown))
        table.add_row(f"{hit.score:.3f}", image.id, f"{image.width}x{image.height}", name)
    Console().print(table if result.hits else "Nothing found.")
    for warning in result.warnings:
        Console(stderr=True).print(Text(one_line(warning)))
