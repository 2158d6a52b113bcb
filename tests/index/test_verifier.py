"""Verification names each fault, and nothing else."""

from __future__ import annotations

from app.services import Services
from index.store.schema import EmbeddingRow
from tests.index.uploading import BLUE, GREEN, RED, add


def test_a_sound_store_has_no_disagreement(services: Services) -> None:
    """Uploads, deletions and a reindex leave rows, files, embeddings and index in agreement."""
    add(services, RED)
    services.indexer.delete(add(services, GREEN).image.id)
    version = services.versions.to_build(None, "colour-1")
    services.reindexer.run(version.id, lambda *_: False)
    assert services.verifier.run() == []


def test_each_fault_is_named(services: Services) -> None:
    """A flipped byte, a missing file, a lost embedding and a phantom in the index are all found."""
    flipped = add(services, RED, seed=1).image
    missing = add(services, GREEN, seed=2).image
    lost = add(services, BLUE, seed=3).image
    path = services.library.file(flipped)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    services.library.file(missing).unlink()
    with services.database.writing() as session:
        row = session.get(EmbeddingRow, (lost.number, services.live.generation.version.id))
        session.delete(row)
    vectors = services.live.generation.vectors
    numbers, stored = vectors.contents()
    vectors.put(numbers[:1] + 999, stored[:1])
    vectors.remove(missing.number)
    progress: list[tuple[int, int]] = []
    found = services.verifier.run(lambda *now: progress.append(now))
    assert sorted((one.kind, one.image_id) for one in found if one.image_id) == sorted(
        [
            ("file damaged", flipped.id),
            ("file missing", missing.id),
            ("not in the index", missing.id),
            ("not embedded", lost.id),
        ]
    )
    assert [one.image_number for one in found if not one.image_id] == [int(numbers[0]) + 999]
    assert progress[-1] == (3, 3)
