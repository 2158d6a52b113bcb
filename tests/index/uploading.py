"""Images put into services the way the API does it."""

from __future__ import annotations

import hashlib
from typing import Any

from app.services import Services
from index import Added, SearchResult, Upload, Words
from tests.pictures import picture_bytes

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def an_upload(services: Services, content: bytes, filename: str = "a.png", **words: Any) -> Upload:
    """The bytes on the store's volume, ready for the indexer."""
    path = services.blobs.incoming()
    path.write_bytes(content)
    return Upload(
        path, hashlib.sha256(content).hexdigest(), len(content), filename, words=Words(**words)
    )


def add(
    services: Services, colour: tuple[int, int, int] = RED, *, seed: int = 0, **words: Any
) -> Added:
    """A nearly plain picture, stored."""
    content = picture_bytes(colour, seed=seed)
    return services.indexer.add(an_upload(services, content, f"{colour}-{seed}.png", **words))


def names_of(result: SearchResult) -> list[str]:
    """The file names of the hits, best first."""
    return [hit.image.filename for hit in result.hits]
