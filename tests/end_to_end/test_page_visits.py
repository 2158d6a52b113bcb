"""The page: going back finds the same query, the same place and the same image."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.end_to_end.browser import Visit

pytestmark = pytest.mark.browser

THREE_SCREENS = 2_000


def browser_back(visit: Visit) -> None:
    """The browser's own button."""
    visit.page.go_back()


def browser_back_by_key(visit: Visit) -> None:
    """What Alt and the left arrow do; a browser without a window has no such key."""
    visit.page.evaluate("history.back()")


def back_by_mouse(visit: Visit) -> None:
    """The page's own button."""
    visit.detail.get_by_role("button", name="Back to the images").click()


def back_by_key(visit: Visit) -> None:
    """The page's own key."""
    visit.page.keyboard.press("Escape")


WAYS_THERE_AND_BACK = [
    ("mouse", browser_back),
    ("keyboard", browser_back_by_key),
    ("mouse", back_by_mouse),
    ("keyboard", back_by_key),
]


def a_tile_in_view(visit: Visit) -> str:
    """Id of an image in the middle of the window."""
    image_id: str = visit.page.evaluate(
        "document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('.tile').dataset.id"
    )
    return image_id


@pytest.mark.parametrize(("opens_by", "go_back"), WAYS_THERE_AND_BACK)
def test_back_from_an_image_finds_query_place_and_selection(
    opens_by: str, go_back: Callable[[Visit], None], visit: Visit
) -> None:
    """Search, scroll three screens, open an image, go back: all is as it was."""
    visit.search("a boat on a lake")
    visit.scroll_to(THREE_SCREENS)
    image_id = a_tile_in_view(visit)
    if opens_by == "mouse":
        visit.tile(image_id).click()
    else:
        visit.tile(image_id).focus()
        visit.page.keyboard.press("Enter")
    expect(visit.detail).to_be_visible()
    place = visit.scroll_y
    go_back(visit)
    expect(visit.detail).to_be_hidden()
    assert abs(visit.scroll_y - THREE_SCREENS) < 2
    assert abs(visit.scroll_y - place) < 2
    expect(visit.search_input).to_have_value("a boat on a lake")
    expect(visit.tile(image_id)).to_be_focused()


@pytest.mark.parametrize("way", ["browser", "page"])
def test_back_from_another_list_finds_the_open_image_and_its_place(way: str, visit: Visit) -> None:
    """More like this, then back: the image is open again; once more: the list where it was left."""
    visit.search("a boat on a lake")
    visit.scroll_to(THREE_SCREENS)
    image_id = a_tile_in_view(visit)
    visit.tile(image_id).click()
    visit.detail.get_by_role("button", name="More like this").click()
    expect(visit.heading).to_have_text("Like a picture")
    visit.wait_until_shown()
    assert visit.scroll_y == 0
    if way == "browser":
        visit.page.go_back()
    else:
        visit.page.get_by_role("button", name="Back to what was shown before").click()
    expect(visit.detail).to_be_visible()
    assert visit.detail_id == image_id
    visit.page.keyboard.press("Escape")
    expect(visit.detail).to_be_hidden()
    expect(visit.heading).to_have_text("“a boat on a lake”")
    assert abs(visit.scroll_y - THREE_SCREENS) < 2
    expect(visit.tile(image_id)).to_be_focused()
    visit.page.go_forward()
    visit.page.go_forward()
    expect(visit.heading).to_have_text("Like a picture")


def test_reload_finds_the_same_place(visit: Visit) -> None:
    """What is loaded again reaches down to where the visitor was."""
    visit.search("a boat on a lake")
    visit.scroll_to(THREE_SCREENS)
    image_id = a_tile_in_view(visit)
    visit.page.reload()
    visit.wait_until_shown()
    expect(visit.tile(image_id)).to_be_in_viewport()
    assert abs(visit.scroll_y - THREE_SCREENS) < 2


def test_address_of_an_image_opens_it_over_its_list(
    visitor: Callable[..., Visit], visit: Visit
) -> None:
    """A shared address shows the image; closing it stays on the page with the list behind."""
    image_id = visit.tile_ids[5]
    other = visitor().open(f"?q=a+boat&image={image_id}")
    expect(other.detail).to_be_visible()
    expect(other.detail.locator("dl")).to_contain_text(image_id)
    expect(other.detail.locator("dl")).to_contain_text("Likeness")
    other.page.keyboard.press("Escape")
    expect(other.detail).to_be_hidden()
    assert other.page.url.endswith("?q=a+boat")


def test_stepping_through_images_brings_the_grid_along(visit: Visit) -> None:
    """After walking far in the detail view, the grid shows the image that was left."""
    ids = visit.tile_ids
    visit.tile(ids[0]).click()
    for _ in range(40):
        visit.page.keyboard.press("ArrowRight")
    left = visit.detail_id
    assert left not in ids[:10]
    visit.page.keyboard.press("Escape")
    expect(visit.tile(left)).to_be_focused()
    expect(visit.tile(left)).to_be_in_viewport()


def test_closing_twice_in_a_row_goes_one_step_back(visit: Visit) -> None:
    """Two keys pressed before the browser has gone back must not leave the list as well."""
    visit.search("a boat on a lake")
    visit.page.locator(".tile a").first.click()
    expect(visit.detail).to_be_visible()
    visit.page.evaluate(
        """() => {
          const press = () => new KeyboardEvent("keydown", { key: "Escape", bubbles: true });
          document.querySelector("image-detail").dispatchEvent(press());
          document.querySelector("image-detail").dispatchEvent(press());
        }"""
    )
    expect(visit.detail).to_be_hidden()
    visit.page.wait_for_timeout(200)
    expect(visit.heading).to_have_text("“a boat on a lake”")
