"""A reindex of more images than any batch or page of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from app.services import Services
from index.pictures import PictureReader
from index.store import embeddings
from index.store.schema import ImageRow
from tests.index.uploading import add

COUNT = 50_000


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_fifty_thousand_images_are_all_embedded_without_a_restart(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left to do is read from the data, batch by batch, until nothing is."""
    sha256 = add(services).image.sha256
    row: dict[str, Any] = {
        "sha256": sha256,
        "filename": "a.png",
        "format": "png",
        "media_type": "image/png",
        "width": 40,
        "height": 30,
        "size_bytes": 10,
        "details": {},
        "created_at": datetime.now(UTC),
    }
    with services.database.writing() as session:
        numbers = range(1, COUNT)
        rows = [{**row, "id": f"image-{n}", "collection": f"collection-{n}"} for n in numbers]
        session.execute(insert(ImageRow), rows)
    # The pictures are not the subject, and decoding them would take most of the time.
    pixels = np.zeros((32, 32, 3), np.uint8)
    monkeypatch.setattr(PictureReader, "pixels", lambda *_: pixels)
    version = services.versions.register("colour-1", origin="registered")
    reports: list[tuple[int, int]] = []

    def report(done: int, total: int) -> bool:
        reports.append((done, total))
        return False

    done = services.reindexer.run(version.id, report, is_to_go_live=False)
    assert (done.embedded, done.failures) == (COUNT, ())
    assert reports[-1] == (COUNT, COUNT)
    assert reports == sorted(reports)
    with services.database.reading() as session:
        assert embeddings.count(session, version.id) == COUNT
        assert not embeddings.missing(session, version.id, limit=1)
