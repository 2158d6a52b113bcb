"""The page's Copies view: pictures that look alike side by side, decided by their owner."""

import io
import time
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Route, expect

from tests.end_to_end.browser import PATIENCE_MS, PHONE, WIDE, Visit, drawn_picture, sample_photo
from tests.end_to_end.serving import Server, serve

pytestmark = pytest.mark.browser

LONG_MS = 120_000  # a worker process starts and loads the model
PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg")


def copy_of(name: str, *, part: float = 1.0, quality: int = 80) -> bytes:
    """A JPEG of half a sample photo's size, of the middle `part` of it."""
    picture = Image.open(sample_photo(name)).convert("RGB")
    left, top = (round(side * (1 - part) / 2) for side in picture.size)
    cut = picture.crop((left, top, picture.width - left, picture.height - top))
    file = io.BytesIO()
    cut.resize((cut.width // 2, cut.height // 2)).save(file, "JPEG", quality=quality)
    return file.getvalue()


# The last test alone decides for good.
@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with three photos, a copy of each, and a second of the first."""
    with serve(tmp_path_factory.mktemp("copies") / "data") as server:
        for name in PHOTOS:
            server.add(name, sample_photo(name).read_bytes())
            server.add(f"small-{name}.jpg", copy_of(name))
        server.add("tiny-chelsea.jpg", copy_of("chelsea.png", quality=50))
        yield server


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Callable[..., Visit]]:
    """Makes pages that show the Copies view; afterwards none may have had an error."""
    visits: list[Visit] = []

    def visit(
        address: str = "?view=copies",
        size: tuple[int, int] = WIDE,
        scheme: str = "light",
        routes: dict[str, Callable[[Route], None]] | None = None,
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE_MS)
        visits.append(Visit(context.new_page(), server.url))
        visits[-1].expected_statuses.add(503)
        for pattern, handler in (routes or {}).items():
            visits[-1].page.route(pattern, handler)
        return visits[-1].open(address)

    yield visit
    for each in visits:
        each.page.context.close()
    assert [error for each in visits for error in each.errors] == []


def groups(visit: Visit) -> Locator:
    """The groups in sight."""
    return visit.page.locator("copies-view .copies-group")


def current_name(visit: Visit) -> str:
    """The name of the picture that has the focus."""
    name: str = visit.page.evaluate("document.activeElement.querySelector('img')?.alt ?? ''")
    return name


def total(server: Server, grade: str = "same") -> int:
    """How many groups wait for a decision, as the service knows it."""
    count: int = server.get(f"v1/duplicates?grade={grade}")["total"]
    return count


def wait_until(server: Server, count: int) -> None:
    """Wait until the service knows of so many groups."""
    deadline = time.monotonic() + 15
    while total(server) != count and time.monotonic() < deadline:
        time.sleep(0.1)
    assert total(server) == count


def test_the_address_keeps_the_place_and_a_picture_is_looked_at_large(
    visitor: Callable[..., Visit], server: Server
) -> None:
    """Reload and back find the group; the large view steps through its images and deletes one."""
    visit = visitor()
    expect(groups(visit)).to_have_count(3)
    groups(visit).nth(1).locator("a").first.click()
    expect(visit.detail).to_be_visible()
    expect(visit.detail.locator("h2")).to_have_text("coffee.png")
    visit.page.keyboard.press("ArrowRight")
    expect(visit.detail.locator("h2")).to_have_text("small-coffee.png.jpg")
    expect(visit.detail.get_by_role("button", name="Next image")).to_be_hidden()
    visit.page.go_back()
    expect(visit.detail).to_be_hidden()
    assert current_name(visit) == "small-coffee.png.jpg"
    visit.page.wait_for_timeout(400)
    visit.page.reload()
    expect(groups(visit)).to_have_count(3)
    expect(groups(visit).nth(1).locator("a").first).to_be_focused()
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Delete")
    expect(visit.detail.locator("h2")).to_have_text("small-coffee.png.jpg")
    visit.page.keyboard.press("Escape")
    expect(groups(visit)).to_have_count(2)
    visit.page.keyboard.press("Control+z")
    expect(groups(visit)).to_have_count(3)
    visit.page.locator(".tabs button").last.click()
    visit.page.wait_for_timeout(400)
    assert "grade=similar" in visit.page.url
    visit.page.locator("copies-view .view-head .icon-only").press("Enter")
    expect(visit.page.locator("copies-view")).to_be_hidden()
    assert total(server) == 3


def test_looking_for_copies_shows_how_far_it_is_and_what_it_found(
    visitor: Callable[..., Visit], server: Server
) -> None:
    """Not compared yet: the button starts the job, whose end brings the groups."""

    def unknown(route: Route) -> None:
        answer = {"items": [], "next_cursor": None, "total": 0, "uncompared": 7}
        route.fulfill(json=answer)

    visit = visitor(routes={"**/v1/duplicates?*": unknown})
    search = visit.page.locator("copies-search")
    expect(search).to_contain_text("7 images not compared yet.")
    expect(visit.page.locator("copies-end")).to_contain_text("look for copies first")
    visit.page.unroute("**/v1/duplicates?*")
    search.get_by_role("button", name="Look for copies").click()
    expect(search.locator("li")).to_contain_text("Search for copies")
    expect(search.get_by_role("button", name="Look for copies")).to_be_disabled()
    expect(groups(visit)).to_have_count(3, timeout=LONG_MS)
    expect(search.locator("li")).to_contain_text("3 groups of copies")
    expect(search).to_contain_text("Every image is compared.")


def test_what_fails_is_told_and_tried_again(visitor: Callable[..., Visit], server: Server) -> None:
    """A list that can't be had says why; a decision that is refused brings its group back."""
    refuses = [True]

    def refuse(route: Route) -> None:
        problem = {"title": "Busy", "status": 503, "detail": "The database is away."}
        if refuses[0]:
            route.fulfill(status=503, json=problem)
        else:
            route.continue_()

    visit = visitor(routes={"**/v1/duplicates?*": refuse, "**/v1/duplicates/decide": refuse})
    end = visit.page.locator("copies-end")
    expect(end).to_contain_text("The database is away.")
    refuses[0] = False
    end.get_by_role("button", name="Try again").click()
    expect(groups(visit)).to_have_count(3)
    refuses[0] = True
    groups(visit).nth(1).get_by_role("button", name="Keep both").click()
    expect(groups(visit)).to_have_count(2)
    visit.page.get_by_role("button", name="Dismiss").click()
    expect(visit.page.locator(".notice.problem")).to_contain_text("Not kept")
    expect(groups(visit)).to_have_count(3)


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "dark"), (PHONE, "light")])
def test_the_view_fits_its_window_and_says_when_there_is_nothing(
    visitor: Callable[..., Visit], server: Server, size: tuple[int, int], scheme: str
) -> None:
    """Nothing is wider than the window, every control has a name, and an empty list has words."""
    server.add("alone.jpg", drawn_picture(7, 300, 200))
    visit = visitor(size=size, scheme=scheme)
    expect(groups(visit)).to_have_count(3)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    nameless = visit.page.evaluate(
        """[...document.querySelectorAll("#top button, copies-view :is(button, a[href])")]
          .filter((node) => node.checkVisibility())
          .filter((node) => !node.ariaLabel && !node.textContent.trim()
            && !node.querySelector("img")?.alt)
          .map((node) => node.outerHTML)"""
    )
    assert nameless == []
    visit.page.locator(".tabs button").last.click()
    expect(visit.page.locator("copies-end")).to_contain_text("No pictures are similar")


def test_a_search_shows_each_picture_once_and_its_copies_under_the_best(
    visitor: Callable[..., Visit],
) -> None:
    """Stacked hits carry how many more there are; one that is deleted gives its place to a copy."""
    visit = visitor("?q=a+cat")
    stacks = visit.page.locator(".stack")
    expect(stacks).to_have_count(0)
    before = len(visit.tile_ids)
    visit.page.get_by_role("button", name="Fine-tune this search").click()
    visit.page.get_by_label("Show each picture once").check()
    expect(stacks).to_have_count(len(PHOTOS))
    expect(stacks.first).to_have_text("+2")
    assert "stack=1" in visit.page.url
    visit.page.reload()
    visit.wait_until_shown()
    expect(stacks).to_have_count(len(PHOTOS))
    assert len(visit.tile_ids) < before
    top = visit.tile_ids[0]
    visit.tile(top).click()
    copies = visit.detail.get_by_role("region", name="The same picture").locator("button")
    expect(copies).to_have_count(2)
    copies.first.click()
    expect(visit.detail.locator("dl")).not_to_contain_text(top)
    expect(copies).to_have_count(2)
    visit.page.keyboard.press("Escape")
    expect(visit.detail).to_be_hidden()
    visit.tile(top).focus()
    visit.page.keyboard.press("Delete")
    expect(visit.tile(top)).to_have_count(0)
    expect(stacks.first).to_have_text("+1")
    visit.page.keyboard.press("Control+z")
    expect(visit.tile(top)).to_be_visible()
    expect(stacks.first).to_have_text("+2")


def test_groups_are_reviewed_by_keyboard_alone_and_each_decision_is_undone(
    visitor: Callable[..., Visit], server: Server
) -> None:
    """Arrows, K, Del, O and Ctrl+Z: what is decided is gone at once and comes back to its place."""
    stored = server.get("v1/images?limit=1")["total"]
    visit = visitor("")
    keys = visit.page.keyboard
    visit.page.get_by_role("button", name="Copies and similar pictures").press("Enter")
    expect(visit.page.get_by_role("heading", name="Copies", exact=True)).to_be_focused()
    expect(groups(visit)).to_have_count(3)
    expect(groups(visit).first).to_contain_text("3 images")
    expect(groups(visit).first.locator(".differs")).to_contain_text(["PNG"])
    visit.page.get_by_role("button", name="Keep all 3").focus()
    keys.press("ArrowRight")
    assert current_name(visit) == "small-chelsea.png.jpg"
    keys.press("ArrowDown")
    assert current_name(visit) == "small-coffee.png.jpg"
    keys.press("ArrowLeft")
    assert current_name(visit) == "coffee.png"

    keys.press("k")
    expect(groups(visit)).to_have_count(2)
    expect(visit.page.locator(".notice")).to_contain_text("Kept 2 images")
    assert current_name(visit) == "rocket.jpg"
    keys.press("Control+z")
    expect(groups(visit)).to_have_count(3)
    assert current_name(visit) == "coffee.png"

    keys.press("Delete")
    expect(groups(visit)).to_have_count(2)
    keys.press("Control+z")
    expect(groups(visit)).to_have_count(3)
    assert current_name(visit) == "coffee.png"

    keys.press("Home")
    assert current_name(visit) == "chelsea.png"
    keys.press("o")
    expect(groups(visit)).to_have_count(2)
    expect(visit.page.locator(".notice")).to_contain_text("Deleted 2 images")
    assert total(server) == 3
    visit.page.get_by_role("button", name="Dismiss").click()
    wait_until(server, 2)
    groups(visit).first.locator("a").first.focus()
    keys.press("k")
    visit.page.get_by_role("button", name="Dismiss").click()
    wait_until(server, 1)
    assert server.get("v1/images?limit=1")["total"] == stored - 2
