"""Verification names each fault, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

from app.services import Services, open_services
from app.settings import Settings
from index import Query, TextPart
from index.store.schema import EmbeddingRow
from tests.fakes import ColourEncoder
from tests.index.uploading import BLUE, GREEN, RED, add, an_upload, names_of
from tests.pictures import picture_bytes


def an_old_stray(services: Services) -> str:
    """The digest of a file and a thumbnail that a crash left two hours ago."""
    sha256 = "a" * 64
    for path in (services.blobs.path(sha256), services.blobs.thumbnail_path(sha256, 320)):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"stray")
        os.utime(path, (time.time() - 7_200, time.time() - 7_200))
    return sha256


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
    vectors.remove(np.array([missing.number], dtype=np.int64))
    vectors.put(np.array([flipped.number]), stored[numbers == lost.number])
    stray = an_old_stray(services)
    progress: list[tuple[int, int]] = []
    found = services.verifier.run(lambda *now: progress.append(now))
    assert sorted((one.kind, one.image_id) for one in found if one.image_id) == sorted(
        [
            ("file damaged", flipped.id),
            ("other vector in the index", flipped.id),
            ("file missing", missing.id),
            ("not in the index", missing.id),
            ("not embedded", lost.id),
        ]
    )
    assert [(one.kind, one.image_number, one.sha256) for one in found if not one.image_id] == [
        ("only in the index", int(numbers[0]) + 999, None),
        ("file of no image", None, stray),
    ]
    assert progress[-1] == (3, 3)


def test_a_repair_mends_what_can_be_made_again(
    services: Services, settings: Settings, load_colours: Callable[[str], ColourEncoder]
) -> None:
    """Index and embeddings are right again in every process; nothing that was found is lost."""
    reds = [add(services, RED, seed=seed).image for seed in range(3)]
    green, blue = add(services, GREEN).image, add(services, BLUE).image
    live = services.live.generation.version.id
    with open_services(settings, load=load_colours) as other:
        with services.database.writing() as session:
            session.delete(session.get(EmbeddingRow, (blue.number, live)))
        for index in (services.live.generation.vectors, other.live.generation.vectors):
            _, stored = index.contents()
            index.remove(np.array([blue.number, reds[0].number], dtype=np.int64))
            index.put(np.array([green.number, 999]), stored[[0, 0]])
        stray = an_old_stray(services)
        repairs = services.repairer.run(services.verifier.run())
        assert all(repair.is_done and repair.outcome for repair in repairs)
        assert len(repairs) == 5
        assert not services.blobs.path(stray).exists()
        assert not services.blobs.thumbnail_path(stray, 320).exists()
        for each in (services, other):
            each.live.catch_up()
            assert each.verifier.run() == []
            for image in (green, blue):
                words = Query([TextPart(image.filename.split("-")[0])])
                assert len(each.searcher.search(words).hits) == 5


def test_a_file_that_is_gone_or_damaged_is_healed_by_an_upload(services: Services) -> None:
    """The image keeps its id, words and embedding; the damaged bytes are kept to be looked at."""
    damaged = add(services, RED, caption="kept").image
    gone = add(services, GREEN).image
    services.library.file(damaged).write_bytes(b"no picture any more")
    services.library.file(gone).unlink()
    repairs = services.repairer.run(services.verifier.run())
    assert [repair.is_done for repair in repairs] == [False, False]
    assert all("upload" in repair.outcome for repair in repairs)
    aside = services.settings.data_dir / "damaged" / damaged.sha256
    assert aside.read_bytes() == b"no picture any more"
    assert len(services.searcher.search(Query([TextPart("red")])).hits) == 2
    for colour, image in ((RED, damaged), (GREEN, gone)):
        added = services.indexer.add(an_upload(services, picture_bytes(colour)))
        assert (added.is_new, added.image.id) == (False, image.id)
        assert services.library.file(image).read_bytes() == picture_bytes(colour)
    assert services.library.get(damaged.id).caption == "kept"
    assert services.verifier.run() == []


def test_a_picture_that_cant_be_embedded_again_is_named(services: Services) -> None:
    """A repair that fails says why, and the others go on."""
    first, second = add(services, RED).image, add(services, GREEN).image
    services.library.file(first).write_bytes(b"no picture any more")
    with services.database.writing() as session:
        for image in (first, second):
            key = (image.number, services.live.generation.version.id)
            session.delete(session.get(EmbeddingRow, key))
    found = [one for one in services.verifier.run() if one.kind == "not embedded"]
    repairs = {one.disagreement.image_id: one for one in services.repairer.run(found)}
    assert not repairs[first.id].is_done
    assert repairs[first.id].outcome
    assert repairs[second.id].is_done
    assert names_of(services.searcher.search(Query([TextPart("green")])))[0] == second.filename
