"""The page: the grid of images, its size on screen and in memory, and the keyboard."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.end_to_end.browser import PHONE, Visit, drawn_picture
from tests.end_to_end.serving import Server, stripping_proxy

pytestmark = pytest.mark.browser

MANY_IMAGES = 20_000
MOST_NODES = 3_000
MOST_HEAP_BYTES = 200_000_000


def imagined_library(page: Page, total: int) -> None:
    """Answer for a library of `total` images, each with the same thumbnail."""
    thumbnail = drawn_picture(1, 32, 24)

    def answer_list(route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        first = int(asked.get("cursor", ["0"])[0])
        after = min(total, first + int(asked["limit"][0]))
        items: list[dict[str, object]] = [
            {
                "id": f"image-{number}",
                "sha256": f"{number:064}",
                "filename": f"{number}.jpg",
                "format": "jpeg",
                "width": 300 + number * 7 % 500,
                "height": 400,
                "bytes": 1000,
                "taken_at": None,
                "tags": [],
                "caption": None,
                "metadata": {},
                "collection": "default",
                "created_at": "2026-01-01T00:00:00Z",
                "urls": {"file": "", "thumbnail": ""},
            }
            for number in range(first, after)
        ]
        cursor = str(after) if after < total else None
        route.fulfill(body=json.dumps({"items": items, "next_cursor": cursor, "total": total}))

    page.route("**/v1/images?*", answer_list)
    page.route("**/thumbnail?*", lambda route: route.fulfill(body=thumbnail))


def test_twenty_thousand_images_scroll_to_the_last_in_few_nodes(
    visitor: Callable[..., Visit],
) -> None:
    """Only what is near the window exists as elements, and the end comes after the last image."""
    visit = visitor()
    imagined_library(visit.page, MANY_IMAGES)
    visit.open()
    most_nodes = visit.page.evaluate(
        """async (last) => {
          let most = 0;
          for (let round = 0; round < 2000; round += 1) {
            window.scrollTo(0, document.documentElement.scrollHeight);
            await new Promise((resolve) => setTimeout(resolve, 20));
            most = Math.max(most, document.querySelectorAll("*").length);
            if (document.querySelector(`[data-id='${last}']`)) return most;
          }
          throw new Error(`stopped at ${document.querySelector(".row:last-child").textContent}`);
        }""",
        f"image-{MANY_IMAGES - 1}",
    )
    assert most_nodes < MOST_NODES
    assert visit.page.evaluate("performance.memory.usedJSHeapSize") < MOST_HEAP_BYTES
    expect(visit.tile(f"image-{MANY_IMAGES - 1}")).to_be_in_viewport()
    expect(visit.page.locator("results-bar .facts")).to_have_text("20,000 images")
    expect(visit.page.locator("results-end")).to_be_empty()

    visit.scroll_to(0)
    expect(visit.tile("image-0")).to_be_in_viewport()
    assert visit.page.evaluate("document.querySelectorAll('*').length") < MOST_NODES


def test_rows_fill_the_width_and_keep_the_aspect_ratios(visit: Visit, server: Server) -> None:
    """Each tile has its image's shape, and each row but the last ends where the grid ends."""
    images = {image["id"]: image for image in server.get("v1/images?limit=100")["items"]}
    grid = visit.box(visit.page.locator("image-grid"))
    rows = visit.page.locator(".row").all()
    assert len(rows) > 3
    for row in rows[:-1]:
        tiles = row.locator(".tile").all()
        boxes = [visit.box(tile) for tile in tiles]
        assert abs(boxes[-1]["x"] + boxes[-1]["width"] - grid["x"] - grid["width"]) < 1
        for tile, box in zip(tiles, boxes, strict=True):
            image = images[tile.get_attribute("data-id") or ""]
            ratio = image["width"] / image["height"]
            assert abs(box["width"] / box["height"] - ratio) / ratio < 0.01


def test_grid_loads_thumbnails_only_and_gives_their_size(
    visitor: Callable[..., Visit], server: Server
) -> None:
    """Of 4K pictures only small thumbnails go over the wire, to be kept by the browser."""
    large = server.add("four-k.jpg", drawn_picture(4_000, 3840, 2160))
    visit = visitor().open()
    expect(visit.tile(large["id"])).to_be_visible()
    visit.page.wait_for_load_state("networkidle")
    pictures = [each for each in visit.requests if each.resource_type == "image"]
    asked = [urlsplit(each.url) for each in pictures if "/v1/" in each.url]
    assert asked
    assert all(each.path.endswith("/thumbnail") for each in asked)
    assert all(int(parse_qs(each.query)["size"][0]) <= 640 for each in asked)
    answers = [answer for each in pictures if (answer := each.response())]
    assert all(
        "immutable" in answer.headers["cache-control"] for answer in answers if "/v1/" in answer.url
    )
    assert sum(len(answer.body()) for answer in answers) < 1_000_000
    for picture in visit.page.locator(".tile img").all():
        assert int(picture.get_attribute("width") or 0) > 0
        assert int(picture.get_attribute("height") or 0) > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width_never_overflows(scheme: str, visitor: Callable[..., Visit]) -> None:
    """At 360 pixels the library, a search, its panel and the detail view fit the width."""
    visit = visitor(PHONE, color_scheme=scheme, has_touch=True, is_mobile=True).open()

    def overflow() -> int:
        width: int = visit.page.evaluate(
            "Math.max(...[document.scrollingElement, document.querySelector('image-detail')]"
            ".map((each) => each.scrollWidth)) - window.innerWidth"
        )
        return width

    assert overflow() <= 0
    visit.search("averyveryverylongwordthatcannotbebrokenanywhereatall" * 2)
    visit.page.get_by_role("button", name="Fine-tune this search").tap()
    assert overflow() <= 0
    visit.page.keyboard.press("Escape")
    visit.page.locator(".tile a").first.tap()
    expect(visit.detail).to_be_visible()
    assert overflow() <= 0
    brightness = visit.page.evaluate(
        "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    assert (brightness < 60) == (scheme == "dark")


def test_keyboard_alone_searches_opens_steps_and_returns(visit: Visit) -> None:
    """Slash, words, Enter, arrows, Enter, arrow, Escape: without touching the mouse."""
    keys = visit.page.keyboard
    keys.press("/")
    expect(visit.search_input).to_be_focused()
    keys.type("galaxies")
    keys.press("Enter")
    expect(visit.heading).to_have_text("“galaxies”")
    visit.wait_until_shown()
    ids = visit.tile_ids
    keys.press("ArrowDown")
    expect(visit.tile(ids[0])).to_be_focused()
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    keys.press("ArrowLeft")
    expect(visit.tile(ids[1])).to_be_focused()
    keys.press("ArrowDown")
    below = visit.page.evaluate("document.activeElement.closest('.row').ariaRowIndex")
    assert below == "2"
    keys.press("ArrowUp")
    keys.press("Home")
    keys.press("ArrowRight")
    keys.press("Enter")
    expect(visit.detail).to_be_visible()
    assert visit.detail_id == ids[1]
    keys.press("ArrowRight")
    assert visit.detail_id == ids[2]
    keys.press("ArrowLeft")
    keys.press("ArrowLeft")
    assert visit.detail_id == ids[0]
    keys.press("Escape")
    expect(visit.detail).to_be_hidden()
    expect(visit.tile(ids[0])).to_be_focused()
    keys.press("?")
    expect(visit.page.get_by_role("dialog", name="Finding images")).to_be_visible()
    keys.press("Escape")
    expect(visit.page.get_by_role("dialog")).to_be_hidden()


def test_everything_is_reached_and_named_by_tab(visit: Visit) -> None:
    """Tab walks from the skip link over the header into the grid, and each stop has a name."""
    names = []
    for _ in range(10):
        visit.page.keyboard.press("Tab")
        name = visit.page.evaluate(
            "document.activeElement.ariaLabel || document.activeElement.textContent.trim()"
            " || document.activeElement.querySelector('img')?.alt"
        )
        names.append(name)
    assert names[:3] == ["Skip to the images", "Beholder", "Search by sentence"]
    assert "Add images" in names
    assert all(names)
    assert visit.page.evaluate("document.activeElement.closest('image-grid') !== null")


def test_page_works_behind_a_prefix_that_a_proxy_strips(visitor: Callable[..., Visit]) -> None:
    """Under /photos/ every address stays under /photos/, and searching and pictures work."""
    visit = visitor()
    with stripping_proxy(visit.url, "/photos/") as url:
        visit.url = url
        visit.open()
        visit.search("a rocket")
        visit.page.locator(".tile a").first.click()
        expect(visit.detail.locator("h2")).not_to_be_empty()
        visit.page.reload()
        expect(visit.detail.locator("dl")).to_contain_text("Likeness")
        visit.page.wait_for_load_state("networkidle")
        visit.page.context.close()
    paths = [urlsplit(each.url).path for each in visit.requests]
    assert {path.split("/")[1] for path in paths} == {"photos"}
    assert "/photos/v1/search" in paths
