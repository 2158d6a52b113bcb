"""Images that look alike: graded, compared once, decided about for good, stacked in searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.services import Services
from index import NotFound, Query, TextPart, condition
from index.duplicates.grading import SAME_BITS, SHIPPED, is_close, is_copy, measured
from index.duplicates.review import grouped
from index.store import near_duplicates
from index.store.near_duplicates import Comparison
from model import as_words, cropped_copy, decode, differing_bits, perceptual_hash, smaller_copy
from tests.app.asking import ON_SQLITE
from tests.index.uploading import an_upload
from tests.pictures import copies, encoded, scene

BLUE = (0.1, 0.1, 1.0)


def stored(services: Services, *contents: bytes, **words: Any) -> list[str]:
    """The ids of the images of these bytes."""
    return [
        services.indexer.add(an_upload(services, content, f"{n}.png", **words)).image.id
        for n, content in enumerate(contents)
    ]


def groups(services: Services, grade: str = "same") -> list[set[str]]:
    """The ids of each group that waits for a decision."""
    page = services.duplicates.page(grade=grade, limit=100)  # type: ignore[arg-type]
    return [{image.id for image in group.images} for group in page.groups]


def compare_anew(services: Services) -> None:
    """Detection from the beginning, as after a reindex by another model."""
    with services.database.writing() as session:
        version = services.live.generation.version.id
        near_duplicates.set_comparison(session, version, SHIPPED)
    services.duplicate_finder.run()


# Grades


def test_a_copy_is_the_same_picture_and_a_crop_is_not() -> None:
    """By fingerprint, over forty pictures; different pictures are far apart."""
    originals = [decode(encoded(scene(seed)), shorter_side=64) for seed in range(40)]
    hashes = [perceptual_hash(picture) for picture in originals]
    for picture, own in zip(originals, hashes, strict=True):
        near, cropped = (
            int(differing_bits(as_words([own])[0], as_words([perceptual_hash(one)]))[0])
            for one in (smaller_copy(picture), cropped_copy(picture))
        )
        assert near <= SAME_BITS < cropped
    words = as_words(hashes)
    for row in range(len(words)):
        others = np.delete(differing_bits(words[row], words), row)
        assert others.min() > SAME_BITS


def test_a_brighter_copy_has_nearly_the_same_fingerprint() -> None:
    """The mean brightness is not looked at."""
    dark, light = (
        decode(encoded(scene(1).point(lambda v, s=share: int(v * s))), shorter_side=64)
        for share in (0.6, 0.9)
    )
    words = as_words([perceptual_hash(dark), perceptual_hash(light)])
    assert differing_bits(words[0], words[1:])[0] <= SAME_BITS


@pytest.mark.parametrize(
    ("bits", "cosine", "expected"),
    [(0, 1.0, True), (SAME_BITS, 0.7, True), (SAME_BITS + 1, 1.0, False), (0, 0.5, False)],
)
def test_the_model_may_object_to_a_copy(bits: int, cosine: float, expected: bool) -> None:
    """Both have to agree."""
    assert is_copy(bits, cosine, Comparison(0, 0.7, 0.9, 0)) is expected


@pytest.mark.parametrize(
    ("cosine", "farthest", "expected"),
    [
        (0.95, None, True),
        (0.89, None, False),
        (0.95, 0.5, True),
        (0.95, 0.94, False),
        (0.99, 0.94, True),
        (0.89, 0.1, False),
    ],
)
def test_what_is_similar_stands_out(cosine: float, farthest: float, expected: bool) -> None:
    """In a library of one kind of thing everything is close, and little is similar."""
    assert is_close(cosine, farthest, Comparison(0, 0.7, 0.9, 0)) is expected


def test_thresholds_are_measured_where_copies_end() -> None:
    """Whatever the model's scale, nearly all copies and crops pass."""
    random = np.random.default_rng(0)

    def unit(rows: np.ndarray) -> np.ndarray:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    for closeness in (0.0, 3.0):
        # The larger, the nearer this model puts all pictures to each other.
        rows = random.normal(size=(64, 128)) + closeness
        originals = unit(rows)
        copies = unit(rows + 0.1 * random.normal(size=rows.shape))
        crops = unit(rows + 0.3 * random.normal(size=rows.shape))
        found = measured(originals, copies, crops)
        assert 0.9 < ((originals * crops).sum(axis=1) >= found.similar_cosine).mean() < 1
        assert ((originals * copies).sum(axis=1) >= found.same_cosine).all()
        assert found.measured_on == 64


@ON_SQLITE
def test_a_version_is_measured_once_there_are_enough_images(services: Services) -> None:
    """Then everything is compared anew by its own thresholds."""
    version = services.live.generation.version.id
    stored(services, *(encoded(scene(seed)) for seed in range(5)))
    services.duplicate_finder.run()
    with services.database.reading() as session:
        first = near_duplicates.comparison(session, version)
    assert first is not None
    assert first.measured_on == 0
    stored(services, *(encoded(scene(seed, BLUE)) for seed in range(5, 25)))
    assert services.duplicate_finder.run() == 25
    with services.database.reading() as session:
        second = near_duplicates.comparison(session, version)
    assert second is not None
    assert second.measured_on == 25
    assert services.duplicate_finder.run() == 0


# Finding


def test_copies_in_sizes_and_formats_are_one_group(services: Services) -> None:
    """Each set of three is a group; other pictures are in none; exact copies are stored once."""
    first = stored(services, *copies(scene(1)))
    second = stored(services, *copies(scene(2)))
    stored(services, encoded(scene(3)))
    assert stored(services, encoded(scene(1))) == first[:1]
    services.duplicate_finder.run()
    assert groups(services) == [set(first), set(second)]
    page = services.duplicates.page(grade="same", limit=100)
    assert [group.size for group in page.groups] == [3, 3]
    assert all(two.differing_bits is not None for group in page.groups for two in group.twos)
    assert services.library.count() == 7


@ON_SQLITE
def test_a_crop_is_similar_and_another_colour_is_not(services: Services) -> None:
    """The model tells; the fingerprint of a crop is another."""
    whole = scene(1)
    ids = stored(services, encoded(whole), encoded(whole.crop((40, 30, 280, 210))))
    stored(services, encoded(scene(2, BLUE)))
    services.duplicate_finder.run()
    assert groups(services) == []
    assert groups(services, "similar") == [set(ids)]


@ON_SQLITE
def test_plain_pictures_of_two_colours_are_not_the_same(services: Services) -> None:
    """They have the same fingerprint, for there is nothing in them."""
    plain = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    hashes = [perceptual_hash(decode(encoded(one), shorter_side=64)) for one in plain]
    assert hashes[0] == hashes[1]
    stored(services, *(encoded(one) for one in plain))
    services.duplicate_finder.run()
    assert groups(services) == groups(services, "similar") == []


def test_each_image_is_compared_once_and_new_ones_as_they_come(services: Services) -> None:
    """Looking at the groups is enough for a few; deleted images leave their group."""
    one, two, three = copies(scene(1))
    first = stored(services, one, two)
    assert services.duplicate_finder.run() == 2
    assert services.duplicate_finder.run() == 0
    (late,) = stored(services, three)
    assert groups(services) == [{*first, late}]
    assert services.duplicate_finder.run() == 0
    services.indexer.delete(first[0])
    assert groups(services) == [{first[1], late}]
    services.indexer.delete(first[1])
    assert groups(services) == []


@ON_SQLITE
def test_a_run_that_is_stopped_goes_on_where_it_was(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found stays; progress counts images."""
    from index import Cancelled

    monkeypatch.setattr("index.duplicates.finder.IMAGES_PER_STEP", 2)
    ids = stored(services, *copies(scene(1)), *copies(scene(2)))
    seen: list[tuple[int, int]] = []

    def stop_soon(done: int, total: int) -> bool:
        seen.append((done, total))
        return done >= 4

    with pytest.raises(Cancelled):
        services.duplicate_finder.run(stop_soon)
    assert seen == [(2, 6), (4, 6)]
    assert services.duplicate_finder.run() == 2
    assert groups(services) == [set(ids[:3]), set(ids[3:])]


def test_images_that_came_before_fingerprints_were_kept_are_compared_too(
    services: Services,
) -> None:
    """Their fingerprints are made from the files; one whose file is gone has none."""
    from sqlalchemy import text

    ids = stored(services, *copies(scene(1)))
    with services.database.writing() as session:
        session.execute(text("DELETE FROM picture_hashes"))
    services.blobs.path(services.library.get(ids[2]).sha256).unlink()
    services.duplicate_finder.run()
    assert groups(services) == [set(ids[:2])]


# Decisions


def test_what_was_kept_apart_stays_so_when_detection_runs_again(services: Services) -> None:
    """By the same version or by another; the third of the group still waits with each of them."""
    ids = stored(services, *copies(scene(1)))
    services.duplicate_finder.run()
    assert services.duplicates.keep(ids[:2]) == 1
    assert groups(services) == [set(ids)], "the third looks like both"
    assert services.duplicates.keep(ids) == 3
    assert groups(services) == []
    compare_anew(services)
    assert groups(services) == groups(services, "similar") == []
    services.indexer.delete(ids[0])
    with pytest.raises(NotFound):
        services.duplicates.keep(ids)
    assert groups(services) == []


def test_a_decision_deletes_just_what_is_named(services: Services) -> None:
    """One that is gone already is no error."""
    ids = stored(services, *copies(scene(1)))
    services.duplicate_finder.run()
    assert services.duplicates.delete([ids[1], ids[1]]) == 1
    assert groups(services) == [{ids[0], ids[2]}]
    assert services.library.count() == 2


def test_links_make_groups() -> None:
    """Whatever their order."""
    assert grouped([(5, 9), (1, 2), (2, 5), (7, 8)]) == [[1, 2, 5, 9], [7, 8]]
    assert grouped([]) == []


@ON_SQLITE
def test_pages_of_groups_never_repeat_or_skip_one(services: Services) -> None:
    """Oldest first."""
    sets = [set(stored(services, *copies(scene(seed))[:2])) for seed in range(5)]
    services.duplicate_finder.run()
    seen: list[set[str]] = []
    cursor: str | None = None
    while True:
        page = services.duplicates.page(grade="same", limit=2, cursor=cursor)
        assert (page.total, page.uncompared) == (5, 0)
        seen += [{image.id for image in group.images} for group in page.groups]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sets


# Stacks


@dataclass
class Pages:
    """Every stack of a query, page by page."""

    leaders: list[str] = field(default_factory=list)
    copies: dict[str, list[str]] = field(default_factory=dict)
    pages: int = 0


@pytest.fixture
def stacked(services: Services) -> Callable[..., Pages]:
    """Asks for everything red, a page after the other."""

    def ask(limit: int, **options: Any) -> Pages:
        found = Pages()
        cursor: str | None = None
        while True:
            query = Query([TextPart("red")], limit=limit, cursor=cursor, **options)
            result = services.collection_searcher.search(query, stacks=True)
            found.pages += 1
            for hit in result.hits:
                found.leaders.append(hit.image.id)
                found.copies[hit.image.id] = [copy.image.id for copy in hit.copies]
                assert all(copy.score <= hit.score for copy in hit.copies)
            cursor = result.next_cursor
            if cursor is None:
                return found

    return ask


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_copies_are_stacked_under_the_best_hit_on_every_page(
    services: Services, stacked: Callable[..., Pages], limit: int
) -> None:
    """Each picture once over all pages, each copy in one stack, in the order of a plain search."""
    sets = [set(stored(services, *copies(scene(seed)))) for seed in range(3)]
    single = stored(services, encoded(scene(9)))
    plain = services.searcher.search(Query([TextPart("red")], limit=100))
    found = stacked(limit)
    assert len(found.leaders) == 4
    for leader in found.leaders:
        members = {leader, *found.copies[leader]}
        assert members in sets or members == set(single)
        ranked = [hit.image.id for hit in plain.hits if hit.image.id in members]
        assert [leader, *found.copies[leader]] == ranked
    order = [hit.image.id for hit in plain.hits]
    assert found.leaders == sorted(found.leaders, key=order.index)


@ON_SQLITE
def test_a_copy_that_the_filter_leaves_out_is_in_no_stack(
    services: Services, stacked: Callable[..., Pages]
) -> None:
    """Nor does it lead one."""
    one, two, three = copies(scene(1))
    hidden = stored(services, one, tags=("hidden",))
    shown = stored(services, two, three)
    where = condition({"not": {"field": "tags", "op": "contains", "value": "hidden"}}, None)
    found = stacked(10, where=where)
    assert len(found.leaders) == 1
    assert {*found.leaders, *found.copies[found.leaders[0]]} == set(shown)
    assert hidden[0] not in found.copies


@ON_SQLITE
def test_images_kept_beside_each_other_are_not_stacked(
    services: Services, stacked: Callable[..., Pages]
) -> None:
    """The owner said that they are two."""
    ids = stored(services, *copies(scene(1)))
    assert len(stacked(10).leaders) == 1
    services.duplicates.keep(ids)
    assert set(stacked(10).leaders) == set(ids)


@ON_SQLITE
def test_a_search_says_when_images_are_not_compared_yet(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for some of them alone."""
    monkeypatch.setattr("index.duplicates.stacking.CAUGHT_UP_IMAGES", 2)
    stored(services, *copies(scene(1)))
    query = Query([TextPart("red")], limit=10)
    first = services.collection_searcher.search(query, stacks=True)
    assert "1 images were not compared" in first.warnings[0]
    assert services.collection_searcher.search(query, stacks=True).warnings == []
