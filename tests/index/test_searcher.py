"""Composed queries, order, paging, filters."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.services import Services
from index import (
    CancellingQuery,
    CursorError,
    EmptyQuery,
    ImagePart,
    NotFound,
    Part,
    PartRefused,
    PicturePart,
    Query,
    TextPart,
    condition,
)
from model import ImageError, TextError
from tests.index.uploading import BLUE, GREEN, RED, add, an_upload, names_of
from tests.pictures import picture_bytes

A_FILTER = {"field": "tags", "op": "eq", "value": "a"}


def all_pages(services: Services, limit: int, **query: Any) -> list[str]:
    """Ids of all hits, page after page."""
    shown: list[str] = []
    cursor = None
    while True:
        result = services.searcher.search(Query(limit=limit, cursor=cursor, **query))
        shown += [hit.image.id for hit in result.hits]
        cursor = result.next_cursor
        if cursor is None:
            return shown


def test_a_sum_of_texts_finds_what_is_like_both(services: Services) -> None:
    """Yellow, which is red and green, comes first for the sum of the two."""
    for colour in (RED, GREEN, BLUE, (255, 255, 0)):
        add(services, colour)
    found = services.searcher.search(Query([TextPart("red"), TextPart("green")]))
    assert names_of(found)[0] == "(255, 255, 0)-0.png"


def test_a_negative_part_pushes_away(services: Services) -> None:
    """Red and green without green is red."""
    for colour in (RED, GREEN, (255, 255, 0)):
        add(services, colour)
    found = services.searcher.search(Query([TextPart("red green"), TextPart("green", -0.9)]))
    assert names_of(found)[0] == f"{RED}-0.png"
    assert names_of(found)[-1] == f"{GREEN}-0.png"


def test_a_picture_finds_itself_first(services: Services) -> None:
    """A stored picture sent as a query scores 1 to within rounding, never more."""
    for seed in range(3):
        add(services, BLUE, seed=seed)
    hits = services.searcher.search(Query([PicturePart(picture_bytes(BLUE, seed=1))])).hits
    assert hits[0].image.filename == f"{BLUE}-1.png"
    assert 0.999 < hits[0].score <= 1


def test_a_stored_image_is_left_out_of_its_own_hits(services: Services) -> None:
    """A search for more like this shows others, as many as were asked for."""
    images = [add(services, RED, seed=seed).image for seed in range(4)]
    result = services.searcher.search(Query([ImagePart(images[0].id)], limit=3))
    assert {hit.image.id for hit in result.hits} == {image.id for image in images[1:]}
    assert result.next_cursor is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_put_together_are_the_whole_in_order(services: Services, limit: int) -> None:
    """No page size repeats or skips a hit, equal scores included."""
    for seed in range(6):
        add(services, RED, seed=seed)
    for seed in range(5):
        # The same picture in other collections: five images of one score.
        for collection in ("x", "y"):
            upload = an_upload(services, picture_bytes(RED, seed=seed))
            services.indexer.add(replace(upload, collection=collection))
    whole = services.searcher.search(Query([TextPart("red")], limit=100)).hits
    expected = sorted(whole, key=lambda hit: (-hit.score, hit.image.id))
    assert [hit.image.id for hit in whole] == [hit.image.id for hit in expected]
    assert len({hit.score for hit in whole}) < len(whole)
    shown = all_pages(services, limit, parts=[TextPart("red")])
    assert shown == [hit.image.id for hit in whole]


def test_paging_survives_changes_between_pages(services: Services) -> None:
    """Images deleted or added between two pages never make another repeat or vanish."""
    images = [add(services, RED, seed=seed).image for seed in range(9)]
    first = services.searcher.search(Query([TextPart("red")], limit=3))
    services.indexer.delete(first.hits[1].image.id)
    add(services, RED, seed=50)
    rest = services.searcher.search(Query([TextPart("red")], limit=100, cursor=first.next_cursor))
    shown = [hit.image.id for hit in [*first.hits, *rest.hits]]
    assert len(shown) == len(set(shown))
    assert {image.id for image in images} <= set(shown)


def test_the_limit_applies_after_the_filter(services: Services) -> None:
    """Fifty wanted of one tag are fifty of that tag, however many others are nearer."""
    for seed in range(8):
        add(services, RED, seed=seed)
    wanted = {add(services, GREEN, seed=seed, tags=("g",)).image.id for seed in range(5)}
    where = condition({"field": "tags", "op": "eq", "value": "g"}, None)
    result = services.searcher.search(Query([TextPart("red")], limit=5, where=where))
    assert {hit.image.id for hit in result.hits} == wanted


def test_min_score_cuts_the_tail(services: Services) -> None:
    """Nothing under the asked score is shown, and the end is known without another page."""
    add(services, RED)
    add(services, BLUE)
    result = services.searcher.search(Query([TextPart("red")], limit=1, min_score=0.5))
    assert names_of(result) == [f"{RED}-0.png"]
    assert result.next_cursor is None


def test_an_empty_store_gives_no_hits(services: Services) -> None:
    """A new service answers, with nothing."""
    result = services.searcher.search(Query([TextPart("red")]))
    assert (result.hits, result.next_cursor) == ([], None)


def test_a_query_that_cancels_is_refused(services: Services) -> None:
    """A text minus itself has no direction: a clear error, not noise."""
    add(services, RED)
    with pytest.raises(CancellingQuery):
        services.searcher.search(Query([TextPart("red"), TextPart("red", -1)]))
    with pytest.raises(CancellingQuery):
        services.searcher.search(Query([TextPart("red", 0.0)]))
    with pytest.raises(EmptyQuery):
        services.searcher.search(Query([]))


def test_a_cursor_of_another_query_or_version_is_refused(services: Services) -> None:
    """A cursor goes on only with the query and the model that it was handed out for."""
    for seed in range(3):
        add(services, RED, seed=seed)
    cursor = services.searcher.search(Query([TextPart("red")], limit=1)).next_cursor
    with pytest.raises(CursorError, match="another query"):
        services.searcher.search(Query([TextPart("blue")], limit=1, cursor=cursor))
    for where in (condition(None, "holidays"), condition(A_FILTER, None)):
        with pytest.raises(CursorError, match="another query"):
            services.searcher.search(Query([TextPart("red")], cursor=cursor, where=where))
    with pytest.raises(CursorError, match="not one of ours"):
        services.searcher.search(Query([TextPart("red")], limit=1, cursor="AAAA"))
    version = services.versions.to_build(None, "colour")
    services.reindexer.run(version.id, lambda *_: False)
    services.live.catch_up()
    with pytest.raises(CursorError, match="model version"):
        services.searcher.search(Query([TextPart("red")], limit=1, cursor=cursor))


def test_a_cursor_knows_the_values_of_its_filter(services: Services) -> None:
    """The same filter goes on, one of the same shape with another value does not."""
    for seed in range(3):
        add(services, RED, seed=seed, tags=("a", "b"))
    parts = [TextPart("red")]
    first = services.searcher.search(Query(parts, limit=1, where=condition(A_FILTER, None)))
    again = Query(parts, limit=2, cursor=first.next_cursor, where=condition(A_FILTER, None))
    assert len(services.searcher.search(again).hits) == 2
    other = condition({"field": "tags", "op": "eq", "value": "b"}, None)
    with pytest.raises(CursorError, match="another query"):
        services.searcher.search(Query(parts, cursor=first.next_cursor, where=other))


@pytest.mark.parametrize(
    ("part", "cause"),
    [
        (ImagePart("no-such", pointer="/here"), NotFound),
        (TextPart(" ", pointer="/here"), TextError),
        (PicturePart(b"no picture", pointer="/here"), ImageError),
    ],
)
def test_a_part_that_cant_be_used_is_named(
    services: Services, part: Part, cause: type[Exception]
) -> None:
    """Among good parts, the bad one's own pointer and reason come back."""
    with pytest.raises(PartRefused) as refused:
        services.searcher.search(Query([TextPart("red"), part, TextPart("blue")]))
    assert refused.value.pointer == "/here"
    assert isinstance(refused.value.cause, cause)


def test_a_cut_text_says_so(services: Services) -> None:
    """What the model did not read is not passed over in silence."""
    result = services.searcher.search(Query([TextPart("red " * 9)]))
    assert "cut" in result.warnings[0]


def test_scores_do_not_depend_on_where_a_vector_lies(services: Services) -> None:
    """Removing other images moves vectors inside the index and leaves every score as it was."""
    images = [add(services, RED, seed=seed).image for seed in range(12)]
    before = {
        hit.image.id: hit.score
        for hit in services.searcher.search(Query([TextPart("red")], limit=50)).hits
    }
    for image in images[::2]:
        services.indexer.delete(image.id)
    after = services.searcher.search(Query([TextPart("red")], limit=50)).hits
    assert {hit.image.id: hit.score for hit in after} == {
        image.id: before[image.id] for image in images[1::2]
    }


def test_a_tiny_grey_picture_can_be_asked_for(services: Services) -> None:
    """One grey pixel is a picture."""
    file = io.BytesIO()
    Image.fromarray(np.full((1, 1), 90, dtype=np.uint8)).save(file, "PNG")
    add(services, RED)
    result = services.searcher.search(Query([PicturePart(file.getvalue())]))
    assert np.isfinite([hit.score for hit in result.hits]).all()


@pytest.mark.parametrize("checked", [0, 1_000])
@pytest.mark.parametrize("share", [1, 2, 7, 40])
def test_a_filter_gives_the_exact_best_whether_it_keeps_few_or_many(
    services: Services, monkeypatch: pytest.MonkeyPatch, checked: int, share: int
) -> None:
    """The best of all looked up in SQL, and all that the filter keeps scanned, give one answer."""
    monkeypatch.setattr("index.searcher.CHECKED", checked)
    for seed in range(40):
        add(services, RED, seed=seed, tags=("a",) if seed % share == 0 else ())
    every = services.searcher.search(Query([TextPart("red")], limit=40)).hits
    expected = [(hit.image.id, hit.score) for hit in every if "a" in hit.image.tags]
    shown: list[tuple[str, float]] = []
    cursor = None
    while True:
        query = Query([TextPart("red")], limit=3, cursor=cursor, where=condition(A_FILTER, None))
        page = services.searcher.search(query)
        shown += [(hit.image.id, hit.score) for hit in page.hits]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert shown == expected
