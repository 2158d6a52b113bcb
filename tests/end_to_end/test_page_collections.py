"""The page: one, several or all collections, kept in the address."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import WIDE, Visit, drawn_picture
from tests.end_to_end.serving import Server, serve

pytestmark = pytest.mark.browser

HELD = {"<b>art</b>": 2, "archive": 1, "sea": 3}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with three collections, one of which is searched only when it is named."""
    with serve(tmp_path_factory.mktemp("collections") / "data") as server:
        number = 0
        for name, images in HELD.items():
            for _ in range(images):
                server.add(f"{number}.jpg", drawn_picture(number, 300, 200), collection=name)
                number += 1
        server.put("v1/collections/archive", {"searched_by_default": False})
        yield server


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    """A page that shows the library, without an error in the end."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]})
    page = Visit(context.new_page(), server.url).open()
    yield page
    context.close()
    assert page.errors == []


def chooser(visit: Visit) -> Locator:
    """The button that shows what is chosen."""
    return visit.page.locator("collection-chooser summary")


def choose(visit: Visit, *names: str) -> None:
    """Tick collections, the list being open afterwards."""
    if visit.page.locator("collection-chooser details[open]").count() == 0:
        chooser(visit).click()
    for name in names:
        visit.page.locator(f'collection-chooser input[data-collection="{name}"]').click()
        visit.wait_until_shown()


def sent(visit: Visit) -> list[dict[str, Any]]:
    """Bodies of the searches, oldest first."""
    asked = [each for each in visit.requests if each.url.endswith("/v1/search")]
    return [json.loads(each.post_data or "{}") for each in asked]


def test_collections_are_chosen_shown_and_kept_in_the_address(visit: Visit) -> None:
    """By pointer and by keyboard; a reload and the way back show the same."""
    expect(chooser(visit)).to_have_text("All collections")
    expect(visit.page.locator("results-bar .facts")).to_have_text("6 images")
    choose(visit, "sea")
    expect(visit.heading).to_have_text("In sea")
    expect(visit.page.locator(".tile")).to_have_count(3)
    visit.page.keyboard.press("Shift+Tab")
    visit.page.keyboard.press("Space")
    visit.wait_until_shown()
    expect(visit.page.locator(".tile")).to_have_count(4)
    expect(visit.page.get_by_role("checkbox", name="archive 1 image")).to_be_focused()
    visit.page.keyboard.press("Escape")
    expect(chooser(visit)).to_be_focused()
    expect(chooser(visit)).to_have_text("2 collections")
    assert visit.page.url.endswith("?collection=sea&collection=archive")

    visit.search("blue")
    assert sent(visit)[-1]["collection"] == ["sea", "archive"]
    expect(visit.heading).to_have_text("“blue”, in sea, archive")
    visit.page.reload()
    visit.wait_until_shown()
    expect(chooser(visit)).to_have_text("2 collections")
    expect(visit.page.locator(".tile")).to_have_count(4)
    visit.page.go_back()
    expect(visit.heading).to_have_text("In sea, archive")
    visit.page.go_back()
    expect(visit.heading).to_have_text("Library")
    expect(chooser(visit)).to_have_text("All collections")


def test_more_like_this_stays_in_the_collection_and_all_leaves_it(visit: Visit) -> None:
    """Names are data and never markup; one that is left out is searched when it is chosen."""
    choose(visit, "<b>art</b>")
    expect(visit.heading).to_have_text("In <b>art</b>")
    visit.page.keyboard.press("Escape")
    visit.tile(visit.tile_ids[0]).click()
    visit.detail.get_by_role("button", name="More like this").click()
    expect(visit.heading).to_have_text("Like a picture, in <b>art</b>")
    expect(visit.page.locator(".tile")).to_have_count(1)
    chooser(visit).click()
    expect(visit.page.locator("collection-chooser label").nth(1)).to_contain_text(
        "searched when chosen"
    )
    visit.page.get_by_role("button", name="All", exact=True).click()
    expect(visit.heading).to_have_text("Like a picture")
    visit.wait_until_shown()
    expect(visit.page.locator(".tile")).to_have_count(4)


def test_what_is_added_goes_into_the_one_collection_on_show(
    visit: Visit, server: Server, tmp_path: Path
) -> None:
    """It appears there at once, and the chooser counts it."""
    choose(visit, "archive")
    visit.page.keyboard.press("Escape")
    photo = tmp_path / "new.jpg"
    photo.write_bytes(drawn_picture(200, 300, 200))
    with visit.page.expect_file_chooser() as files:
        visit.page.get_by_role("button", name="Add images").click()
    files.value.set_files(photo)
    expect(visit.page.locator(".tile")).to_have_count(2)
    assert server.get("v1/collections/archive")["images"] == 2
    chooser(visit).click()
    expect(visit.page.locator("collection-chooser label").nth(1)).to_have_text(
        re.compile("archive.*2 images")
    )


def test_an_address_with_a_collection_that_is_not_there_says_so(visit: Visit) -> None:
    """Nothing is found, and one press searches everywhere."""
    visit.open("?q=blue&collection=gone")
    expect(visit.page.locator(".warnings")).to_contain_text("no collection 'gone'")
    visit.page.get_by_role("button", name="Search all collections").click()
    expect(visit.heading).to_have_text("“blue”")
    visit.wait_until_shown()
    assert len(visit.tile_ids) == 5
