"""Images put into services the way the API does it."""

from __future__ import annotations

import hashlib

from app.services import Services
from index import Added, Upload, Words
from tests.pictures import picture_bytes

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def an_upload(services: Services, content: bytes, filename: str = "a.png", **words) -> Upload:
    path = services.blobs.incoming()
    path.write_bytes(content)
    return Upload(
        path, hashlib.sha256(content).hexdigest(), len(content), filename, words=Words(**words)
    )


def add(
    services: Services, colour: tuple[int, int, int] = RED, *, seed: int = 0, **words
) -> Added:
    content = picture_bytes(colour, seed=seed)
    return services.indexer.add(an_upload(services, content, f"{colour}-{seed}.png", **words))


def names_of(result) -> list[str]:
    return [hit.image.filename for hit in result.hits]
