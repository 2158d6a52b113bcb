"""Pairs in the library: where pictures come from, which side they are on, what is wrong."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from app.services import Services
from index import (
    ImageName,
    NamedFile,
    PairCheck,
    PairsAdded,
    Refused,
    StorageFull,
    TableLine,
    Upload,
    opened_sources,
)
from index.pairs.split import VALIDATION_SHARE, side_of
from tests.app.asking import ON_SQLITE
from tests.index.uploading import add, an_upload
from tests.pictures import copies, encoded, picture_bytes, scene


def a_line(image_id: str, *texts: str, number: int = 1) -> TableLine:
    """A line that names an image by its id."""
    return TableLine(number, (ImageName("id", image_id),), texts)


def stored(services: Services, content: bytes, name: str = "a.jpg") -> str:
    """The id of the image of these bytes."""
    return services.indexer.add(an_upload(services, content, name)).image.id


def paired(services: Services, *image_ids: str) -> dict[str, str]:
    """The side of each image, once all have a pair."""
    services.pair_importer.run(
        a_line(image_id, f"text {n}", number=n) for n, image_id in enumerate(image_ids, start=1)
    )
    return sides(services)


def sides(services: Services) -> dict[str, str]:
    """The side of each image that has pairs."""
    page = services.pairs.page(limit=1_000)
    return {pair.image_id: pair.side for pair in page.pairs}


def run_table(services: Services, folder: Path, table: str, **options: object) -> PairsAdded:
    """The import of a TSV that lies in a folder."""
    path = folder / "table.tsv"
    path.write_text("image\ttext\n" + table)
    with opened_sources([NamedFile(path, "table.tsv")], **options) as sources:  # type: ignore[arg-type]
        return services.pair_importer.run(sources.lines, sources.pictures)


def codes(check: PairCheck) -> dict[str, str]:
    """The level of each finding."""
    return {finding.code: finding.level for finding in check.findings}


# Sources


def test_a_path_is_followed_only_below_an_allowed_folder(
    services: Services, tmp_path: Path
) -> None:
    """Not out of it by dots, by an absolute name, or by a link; a pipe is never opened."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "sub", outside):
        folder.mkdir(parents=True)
    (root / "sub" / "in.png").write_bytes(picture_bytes())
    (outside / "out.png").write_bytes(picture_bytes((0, 0, 255)))
    (root / "link.png").symlink_to(outside / "out.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    names = [
        "sub/in.png",
        str(root / "sub" / "in.png"),
        "../outside/out.png",
        str(outside / "out.png"),
        "link.png",
        "loop.png",
        "pipe.png",
        "sub",
        "nowhere.png",
        "x" * 5_000,
    ]
    table = "".join(f"{name}\ttext {n}\n" for n, name in enumerate(names))
    outcome = run_table(services, outside, table, roots=[root])
    assert (outcome.added, outcome.images_added) == (2, 1)
    assert [one.line for one in outcome.refused] == list(range(4, 12))
    assert len({one.reason.partition("“")[0] for one in outcome.refused}) == 1, (
        "a reason tells what lies outside"
    )
    assert services.library.count() == 1


def test_without_allowed_folders_no_path_is_followed(services: Services, tmp_path: Path) -> None:
    """What a stranger names is not looked for on the server."""
    (tmp_path / "a.png").write_bytes(picture_bytes())
    outcome = run_table(services, tmp_path, f"{tmp_path / 'a.png'}\ttext\n")
    assert (outcome.added, outcome.refused_total) == (0, 1)


@ON_SQLITE
def test_hostile_entries_are_reported_and_the_rest_is_imported(
    services: Services, tmp_path: Path
) -> None:
    """Out of the archive, absolute, a link, a bomb, an archive in it: refused by name."""
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    bad = ["../up.png", "/abs.png", link, "bomb.png", "inner.zip"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("good.png", picture_bytes())
        for name in bad:
            writer.writestr(name, bytes(3_000_000) if name == "bomb.png" else b"/etc/passwd")
        writer.writestr("t.tsv", "image\ttext\ngood.png\tred\n../up.png\tup\nbomb.png\tbomb\n")
    with opened_sources([NamedFile(path, "a.zip")]) as sources:
        outcome = services.pair_importer.run(sources.lines, sources.pictures)
    assert (outcome.added, outcome.images_added) == (1, 1)
    entries = [one.entry for one in outcome.refused if one.entry is not None]
    assert sorted(entries) == sorted(["../up.png", "/abs.png", "bomb.png", "inner.zip", "link.png"])
    assert [one.line for one in outcome.refused if one.entry is None] == [3, 4]
    assert not (tmp_path.parent / "up.png").exists()
    assert list((services.settings.data_dir / "incoming").iterdir()) == []


@ON_SQLITE
def test_a_full_disk_ends_the_import_and_keeps_what_was_added(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other line would survive it; run again, it goes on."""
    for seed in range(3):
        (tmp_path / f"{seed}.png").write_bytes(picture_bytes(seed=seed))
    table = "".join(f"{seed}.png\ttext {seed}\n" for seed in range(3))
    whole = services.indexer.add

    def full(upload: Upload, *, wait_seconds: float = 0) -> object:
        if upload.filename == "1.png":
            upload.path.unlink()
            raise StorageFull(upload.path, "No space left on device")
        return whole(upload, wait_seconds=wait_seconds)

    monkeypatch.setattr(services.indexer, "add", full)
    with pytest.raises(StorageFull):
        run_table(services, tmp_path, table, roots=[tmp_path])
    monkeypatch.undo()
    outcome = run_table(services, tmp_path, table, roots=[tmp_path])
    assert (outcome.added, outcome.refused) == (3, [])


@ON_SQLITE
def test_refusals_are_counted_past_those_that_are_kept(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded by the list; the lines past the last allowed one are not read."""
    monkeypatch.setattr("index.pairs.importer.LINES_ALLOWED", 3_000)
    read = 0

    def lines() -> Iterator[Refused]:
        nonlocal read
        for number in range(1, 10_000):
            read += 1
            yield Refused("bad", number)

    outcome = services.pair_importer.run(lines())
    assert (outcome.lines, outcome.refused_total, len(outcome.refused)) == (3_000, 3_001, 1_000)
    assert read == 3_001


@ON_SQLITE
def test_an_image_deleted_meanwhile_refuses_its_line(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look-up and the write; the others are kept."""
    going, staying = add(services).image.id, add(services, (0, 0, 255)).image.id
    complete = services.pair_importer._hashes.complete

    def delete_then_complete(numbers: list[int]) -> None:
        services.indexer.delete(going)
        complete(numbers)

    monkeypatch.setattr(services.pair_importer._hashes, "complete", delete_then_complete)
    outcome = services.pair_importer.run([a_line(going, "a"), a_line(staying, "b", number=2)])
    assert outcome.added == 1
    assert [one.line for one in outcome.refused] == [1]


# The split


def test_the_side_stays_when_pairs_are_added(services: Services) -> None:
    """It follows from the bytes of the image, whatever comes before and after it."""
    ids = [stored(services, encoded(scene(seed))) for seed in range(12)]
    first = paired(services, *ids[:6])
    both = paired(services, *ids)
    assert {image: both[image] for image in first} == first
    for image in services.library.page(limit=100, cursor=None, where=None).images:
        assert both[image.id] == side_of(image.sha256)


def test_the_sides_have_about_their_share() -> None:
    """Over many digests; exactly the same each time."""
    digests = [f"{number * 2_654_435_761 % 2**32:08x}{'0' * 56}" for number in range(10_000)]
    share = sum(side_of(digest) == "validation" for digest in digests) / len(digests)
    assert abs(share - VALIDATION_SHARE) < 0.01


def test_pictures_that_look_alike_are_on_one_side(services: Services) -> None:
    """Copies of twelve pictures; each set shares the side of the one that came first."""
    sets = [[stored(services, content) for content in copies(scene(seed))] for seed in range(12)]
    found = paired(services, *(image for one in sets for image in one))
    for one in sets:
        assert len({found[image] for image in one}) == 1
    hashed = {
        image.id: side_of(image.sha256)
        for image in (services.library.get(image) for one in sets for image in one)
    }
    assert any(len({hashed[image] for image in one}) == 2 for one in sets), "the digests agree"
    training = services.pairs.training_set()
    groups = [{one.group for one in side} for side in (training.train, training.validation)]
    assert not groups[0] & groups[1]


def test_copies_whose_pairs_arrive_at_once_see_each_other(services: Services) -> None:
    """Eight imports side by side, each with one copy of each of six pictures."""
    names = [("PNG", 90), ("WEBP", 90), ("WEBP", 60), *(("JPEG", q) for q in (30, 50, 70, 80, 95))]
    sets = [
        [stored(services, encoded(scene(seed), kind, quality=quality)) for kind, quality in names]
        for seed in range(6)
    ]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda ids: paired(services, *ids), zip(*sets, strict=True)))
    found = sides(services)
    assert all(len({found[image] for image in one}) == 1 for one in sets)


def test_copies_that_came_before_fingerprints_were_kept_are_known_too(services: Services) -> None:
    """The fingerprint is made from the stored file when it is missing."""
    from sqlalchemy import text

    one, other = (stored(services, content) for content in copies(scene(3))[:2])
    paired(services, one)
    with services.database.writing() as session:
        session.execute(text("DELETE FROM picture_hashes"))
    found = paired(services, one, other)
    assert found[one] == found[other]


def test_a_picture_like_two_makes_one_group_of_them(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All end on the side of the oldest."""
    monkeypatch.setattr("index.pairs.split.NEAR_BITS", 100)
    left, right = scene(1), scene(2)
    blend = Image.blend(left, right, 0.5)
    ids = [stored(services, encoded(one)) for one in (left, right, blend)]
    paired(services, *ids[:2])
    training = services.pairs.training_set()
    before = {one.image_id: one.group for one in (*training.train, *training.validation)}
    assert before[ids[0]] != before[ids[1]]
    found = paired(services, *ids)
    training = services.pairs.training_set()
    after = {one.image_id: one.group for one in (*training.train, *training.validation)}
    assert len(set(after.values())) == 1
    assert len({found[image] for image in ids}) == 1


# What training takes


def test_the_training_set_has_each_image_once_with_its_texts(services: Services) -> None:
    """In the order of arrival; the digest changes with the pairs and with nothing else."""
    ids = [stored(services, encoded(scene(seed))) for seed in range(8)]
    services.pair_importer.run(
        [a_line(image, f"first {image}", number=n) for n, image in enumerate(ids)]
        + [a_line(ids[0], "second", number=9)]
    )
    training = services.pairs.training_set()
    images = {one.image_id: one for one in (*training.train, *training.validation)}
    assert set(images) == set(ids)
    assert images[ids[0]].texts == (f"first {ids[0]}", "second")
    assert all(one.path.is_file() for one in images.values())
    assert services.pairs.training_set().data_hash == training.data_hash
    (pair,) = [one for one in services.pairs.page(limit=100).pairs if one.text == "second"]
    services.pairs.delete(pair.id)
    assert services.pairs.training_set().data_hash != training.data_hash


# The check


@ON_SQLITE
def test_good_pairs_have_no_finding(services: Services) -> None:
    """Enough images on both sides, each with a text of its own."""
    ids = [stored(services, encoded(scene(seed).resize((64, 48)))) for seed in range(45)]
    paired(services, *ids)
    check = services.pairs.check()
    assert check.findings == ()
    assert check.is_trainable
    assert check.train_images + check.validation_images == check.images == 45


@ON_SQLITE
def test_each_fault_is_found(services: Services) -> None:
    """One library that has nearly everything wrong with it."""
    assert codes(services.pairs.check()) == {"no_pairs": "error"}
    ids = [stored(services, content) for content in copies(scene(5))]
    long = "one two three four five six seven eight nine"
    services.pair_importer.run([a_line(image, long, number=n) for n, image in enumerate(ids)])
    services.blobs.path(services.library.get(ids[0]).sha256).unlink()
    check = services.pairs.check()
    found = codes(check)
    assert found["too_few_pairs"] == found["all_duplicates"] == found["one_text"] == "error"
    assert found["texts_too_long"] == found["images_missing"] == "warning"
    assert {"no_validation_images", "no_training_images"} & set(found)
    assert [finding.level for finding in check.findings] == sorted(found.values())
    missing = next(one for one in check.findings if one.code == "images_missing")
    assert [example.image_id for example in missing.examples] == [ids[0]]
    assert not check.is_trainable


@ON_SQLITE
def test_one_text_for_most_images_is_a_warning(services: Services) -> None:
    """Whatever its capitals."""
    ids = [stored(services, encoded(scene(seed).resize((64, 48)))) for seed in range(12)]
    services.pair_importer.run(
        a_line(image, "A product" if n else "something else", number=n)
        for n, image in enumerate(ids)
    )
    assert codes(services.pairs.check())["one_text"] == "warning"
