"""The page: deleting with undo, editing, and uploading."""

import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.end_to_end.browser import Visit, drawn_picture
from tests.end_to_end.serving import Server

pytestmark = pytest.mark.browser

FRESH_NUMBERS = count(1_000)


@pytest.fixture
def added(server: Server) -> list[dict[str, Any]]:
    """Three images of this test's own, the newest first, as the library shows them."""
    numbers = [next(FRESH_NUMBERS) for _ in range(3)]
    images = [server.add(f"own-{each}.jpg", drawn_picture(each, 300, 200)) for each in numbers]
    return images[::-1]


def deletions(visit: Visit) -> list[str]:
    """Ids the page has asked the service to delete."""
    return [each.url.rpartition("/")[2] for each in visit.requests if each.method == "DELETE"]


def wait_until_gone(server: Server, image_id: str) -> None:
    """Wait until the service no longer has the image."""
    deadline = time.monotonic() + 10
    while server.has(image_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not server.has(image_id)


def test_deleted_by_key_is_gone_at_once_and_undone_to_its_place(
    added: list[dict[str, Any]], visit: Visit, server: Server
) -> None:
    """Del takes the image from the grid, the focus moves on, and undo puts it where it was."""
    before = visit.tile_ids
    middle = added[1]["id"]
    visit.tile(middle).focus()
    visit.page.keyboard.press("Delete")
    assert middle not in visit.tile_ids
    expect(visit.tile(added[2]["id"])).to_be_focused()
    visit.page.get_by_role("button", name="Undo").click()
    expect(visit.tile(middle)).to_be_visible()
    assert visit.tile_ids[:6] == before[:6]
    expect(visit.tile(middle)).to_be_focused()
    assert deletions(visit) == []
    assert server.has(middle)


def test_several_deletions_are_undone_together_by_key(
    added: list[dict[str, Any]], visit: Visit
) -> None:
    """Two deletions in a row are one message, and Ctrl+Z takes both back."""
    before = visit.tile_ids
    visit.tile(added[0]["id"]).focus()
    visit.page.keyboard.press("Delete")
    visit.page.keyboard.press("Delete")
    expect(visit.page.locator(".notice")).to_have_count(1)
    expect(visit.page.locator(".notice")).to_contain_text("2 images")
    visit.page.keyboard.press("Control+z")
    expect(visit.page.locator(".notice")).to_have_count(0)
    assert visit.tile_ids[:6] == before[:6]


def test_deleted_in_the_viewer_moves_on_and_stays_gone_everywhere(
    added: list[dict[str, Any]], visit: Visit, server: Server
) -> None:
    """Delete from search results, change another image, go back: it is gone from all lists."""
    visit.tile(added[0]["id"]).focus()
    visit.page.keyboard.press("l")
    expect(visit.heading).to_have_text("Like a picture")
    visit.wait_until_shown()
    shown = visit.tile_ids
    names = {each["id"]: each["filename"] for each in server.get("v1/images?limit=1000")["items"]}
    first = next(each for each in shown if names[each].startswith("drawn"))
    second = shown[shown.index(first) + 1]
    visit.tile(first).click()
    visit.detail.get_by_role("button", name="Delete").click()
    expect(visit.detail).to_be_visible()
    assert visit.detail_id == second
    visit.detail.get_by_label("Tags").fill("kept")
    visit.detail.get_by_label("Tags").press("Enter")
    expect(visit.detail.locator(".tags li")).to_have_text(["kept"])
    visit.page.keyboard.press("Escape")
    visit.page.keyboard.press("Escape")
    expect(visit.detail).to_be_hidden()
    assert first not in visit.tile_ids
    visit.page.get_by_role("button", name="Back to what was shown before").click()
    expect(visit.heading).to_have_text("Library")
    visit.page.get_by_role("button", name="Dismiss").click()
    wait_until_gone(server, first)
    assert deletions(visit) == [first]
    assert first not in visit.tile_ids
    assert server.get(f"v1/images/{second}")["tags"] == ["kept"]


def test_leaving_the_page_deletes_what_was_pending(
    added: list[dict[str, Any]], visit: Visit, server: Server
) -> None:
    """Who deletes and leaves at once finds it deleted."""
    visit.tile(added[0]["id"]).focus()
    visit.page.keyboard.press("Delete")
    visit.page.goto("about:blank")
    wait_until_gone(server, added[0]["id"])


def test_a_refused_deletion_brings_the_image_back(
    added: list[dict[str, Any]], visit: Visit
) -> None:
    """When the service fails, the image is shown again and the reason is told."""
    visit.expected_statuses = {500}
    body = '{"title": "Disk trouble", "status": 500, "detail": "The disk cannot be written."}'
    visit.page.route(
        f"**/v1/images/{added[0]['id']}", lambda route: route.fulfill(status=500, body=body)
    )
    visit.tile(added[0]["id"]).hover()
    visit.page.locator(".tile-actions").get_by_role("button", name="Delete").click()
    expect(visit.tile(added[0]["id"])).to_have_count(0)
    visit.page.get_by_role("button", name="Dismiss").click()
    expect(visit.page.locator(".notice.problem")).to_contain_text("The disk cannot be written.")
    expect(visit.tile(added[0]["id"])).to_be_visible()


def test_caption_and_tags_are_edited_in_place(
    added: list[dict[str, Any]], visit: Visit, server: Server
) -> None:
    """What is written is stored, shown in the grid too, and user text never becomes markup."""
    image_id = added[0]["id"]
    visit.tile(image_id).click()
    caption = "<img src=x onerror=alert(1)> at dusk"
    visit.detail.get_by_label("Caption").fill(caption)
    visit.detail.get_by_role("button", name="Save caption").click()
    expect(visit.detail.get_by_role("button", name="Save caption")).to_be_hidden()
    for tag in ("holiday", "sea"):
        visit.detail.get_by_label("Tags").fill(tag)
        visit.detail.get_by_label("Tags").press("Enter")
        expect(visit.detail.locator(".tags")).to_contain_text(tag)
    visit.detail.get_by_role("button", name="Remove the tag holiday").click()
    expect(visit.detail.locator(".tags li")).to_have_text(["sea"])
    stored = server.get(f"v1/images/{image_id}")
    assert (stored["caption"], stored["tags"]) == (caption, ["sea"])
    visit.page.keyboard.press("Escape")
    expect(visit.tile(image_id).locator("img")).to_have_attribute("alt", caption)


def test_download_gives_the_stored_bytes(added: list[dict[str, Any]], visit: Visit) -> None:
    """The file comes back under its own name, as it was sent."""
    visit.tile(added[0]["id"]).click()
    with visit.page.expect_download() as download:
        visit.detail.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == added[0]["filename"]
    assert download.value.path().stat().st_size == added[0]["bytes"]


def test_dropped_files_are_uploaded_with_a_summary_of_what_was_refused(
    visit: Visit, server: Server
) -> None:
    """Each file has its bar; good ones appear in the grid; the broken one says why."""
    visit.expected_statuses = {400, 413, 415, 422}
    number = next(FRESH_NUMBERS)
    known = drawn_picture(number, 200, 300)
    server.add("known.jpg", known)
    files = {
        "new.jpg": drawn_picture(next(FRESH_NUMBERS), 320, 200),
        "again.jpg": known,
        "broken.jpg": b"this is no picture at all",
        "film.jpg": drawn_picture(next(FRESH_NUMBERS), 210, 200)[:900],
    }
    visit.drop("main", files)
    panel = visit.page.get_by_role("region", name="Uploads")
    expect(panel.locator(".summary")).to_have_text("1 added, 1 already there, 2 refused")
    rows = panel.locator("li")
    expect(rows).to_have_count(4)
    refused = panel.locator("li.refused")
    expect(refused.locator(".name")).to_have_text(["broken.jpg", "film.jpg"])
    for row in refused.all():
        assert len(row.locator(".state").inner_text()) > 20
    expect(visit.page.locator(".tile img").first).to_have_attribute("alt", "new.jpg")
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()


def test_a_busy_service_is_asked_again_and_no_more_than_three_at_once(visit: Visit) -> None:
    """503 with Retry-After is waited out; uploads are bounded."""
    visit.expected_statuses = {503}
    waiting: list[Route] = []
    refused: set[str] = set()

    def be_busy_once(route: Route) -> None:
        if route.request.method != "POST":
            route.fallback()
        elif len(refused) < 3:
            waiting.append(route)
            refused.add(str(len(refused)))
        else:
            route.continue_()

    visit.page.route("**/v1/images", be_busy_once)
    numbers = [next(FRESH_NUMBERS) for _ in range(5)]
    visit.drop("main", {f"busy-{each}.jpg": drawn_picture(each, 90, 60) for each in numbers})
    panel = visit.page.get_by_role("region", name="Uploads")
    expect(panel.locator("li progress:visible")).to_have_count(5)
    visit.page.wait_for_timeout(200)
    assert len(waiting) == 3
    assert len([each for each in visit.requests if each.method == "POST"]) == 3
    for route in waiting:
        route.fulfill(status=503, headers={"Retry-After": "1"}, body="{}")
    expect(panel.locator("li.busy").first).to_contain_text("busy")
    expect(panel.locator(".summary")).to_have_text("5 added")


def test_dragging_shows_where_things_would_go(visit: Visit) -> None:
    """Over the page it says add; over the search box it says search."""
    veil = visit.page.locator("drop-veil")
    expect(veil).to_have_css("opacity", "0")
    visit.drop("main", {"a.jpg": b"a"}, release=False)
    expect(visit.page.locator("html")).to_have_class("dragging dragging-upload")
    expect(veil).to_have_css("opacity", "1")
    visit.drop("search-box", {"a.jpg": b"a"}, release=False)
    expect(visit.page.locator("html")).to_have_class("dragging dragging-search")


def test_an_image_dragged_from_the_grid_joins_the_query(visit: Visit) -> None:
    """Dragging a tile onto the search box searches with it and uploads nothing."""
    image_id = visit.tile_ids[1]
    visit.tile(image_id).drag_to(visit.page.locator("search-box"))
    expect(visit.heading).to_have_text("Like a picture")
    assert f"like={image_id}" in visit.page.url
    assert not any(each.method == "POST" and "v1/images" in each.url for each in visit.requests)


def test_only_one_visitor_at_a_time_sees_nothing_of_anothers_messages(
    visitor: Callable[..., Visit], added: list[dict[str, Any]]
) -> None:
    """A pending deletion hides the image for who deleted it, and for nobody else yet."""
    one, other = visitor().open(), visitor().open()
    one.tile(added[0]["id"]).focus()
    one.page.keyboard.press("Delete")
    assert added[0]["id"] in other.open().tile_ids
    one.page.keyboard.press("Control+z")


def test_a_running_job_is_shown_with_its_progress(visitor: Callable[..., Visit]) -> None:
    """While a reindex runs, the page says so and how far it is; afterwards it says nothing."""
    visit = visitor()
    job = {
        "id": "job-1",
        "kind": "reindex",
        "state": "running",
        "progress": {"done": 30, "total": 120, "unit": "images"},
        "message": "",
    }
    visit.page.route("**/v1/jobs?*", lambda route: route.fulfill(json={"items": [job]}))
    visit.open()
    pill = visit.page.locator("job-pill")
    expect(pill).to_have_attribute("title", "reindex: 30 of 120")
    job["state"] = "succeeded"
    expect(pill).to_be_hidden()
