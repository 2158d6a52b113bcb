"""The page: finding by sentence, by picture, by both."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Request, Route, expect

from tests.end_to_end.browser import Visit, drawn_picture, sample_photo
from tests.end_to_end.serving import Server

pytestmark = pytest.mark.browser


def search_requests(visit: Visit) -> list[dict[str, Any]]:
    """Bodies of the searches the page has asked for, oldest first."""
    sent = [each for each in visit.requests if each.url.endswith("/v1/search")]
    return [json.loads(each.post_data or "{}") for each in sent]


def test_enter_searches_by_the_sentence_and_shows_scores(visit: Visit, server: Server) -> None:
    """Hits come best first with their score; address and title hold the sentence."""
    visit.search("a cat looking up")
    scores = [float(text) for text in visit.page.locator(".score").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) > 5
    assert "?q=a+cat+looking+up" in visit.page.url
    expect(visit.page).to_have_title("“a cat looking up” – Beholder")
    expect(visit.page.locator("results-bar .facts")).to_contain_text("ms")
    assert search_requests(visit)[-1]["query"] == [{"text": "a cat looking up", "weight": 1}]


def test_address_alone_restores_the_query(visit: Visit) -> None:
    """An address with all kinds of parts is read back into the search box and asked for."""
    image_id = visit.tile_ids[2]
    visit.open(f"?q=two+dogs&like={image_id}&not=people&weights=1,0.5&min_score=-1")
    expect(visit.search_input).to_have_value("two dogs")
    expect(visit.page.locator(".chip")).to_have_count(1)
    assert search_requests(visit)[-1] == {
        "query": [
            {"text": "two dogs", "weight": 1},
            {"image_id": image_id, "weight": 0.5},
            {"text": "people", "weight": -0.5},
        ],
        "limit": 100,
        "min_score": -1,
    }
    assert image_id not in visit.tile_ids


@pytest.mark.parametrize("way", ["dropped", "pasted", "chosen"])
def test_a_picture_that_is_brought_finds_its_own_copy(way: str, visit: Visit) -> None:
    """A picture dropped, pasted or chosen becomes a chip and is searched with, not uploaded."""
    name = "chelsea.png"
    data = sample_photo(name).read_bytes()
    if way == "dropped":
        visit.drop("search-box", {name: data})
    elif way == "pasted":
        visit.paste(name, data)
    else:
        with visit.page.expect_file_chooser() as chooser:
            visit.page.get_by_role("button", name="Search with a picture").click()
        chooser.value.set_files(sample_photo(name))
    expect(visit.heading).to_have_text("Like a picture")
    visit.wait_until_shown()
    expect(visit.page.locator(".tile img").first).to_have_attribute("alt", name)
    assert float(visit.page.locator(".score").first.inner_text()) > 0.95
    assert not any(each.method == "POST" and "v1/images" in each.url for each in visit.requests)

    visit.page.get_by_role("button", name="Remove the picture you brought").click()
    expect(visit.heading).to_have_text("Library")


def test_words_and_a_picture_are_one_query_that_survives_a_reload(visit: Visit) -> None:
    """Both parts are sent together; the picture is kept by the tab and is there after a reload."""
    visit.drop("search-box", {"picture.jpg": drawn_picture(5, 300, 200)})
    expect(visit.page.locator(".chip")).to_have_count(1)
    visit.search("in the evening")
    before = search_requests(visit)[-1]["query"]
    assert [set(part) for part in before] == [{"text", "weight"}, {"image", "weight"}]
    visit.page.reload()
    visit.wait_until_shown()
    expect(visit.page.locator(".chip img")).to_be_visible()
    assert search_requests(visit)[-1]["query"] == before


def test_a_picture_of_another_tab_is_explained(visitor: Callable[..., Visit]) -> None:
    """An address with a picture that only another tab had says so and searches nothing."""
    visit = visitor().open("?picture=0123456789abcdef")
    expect(visit.page.locator("results-end")).to_contain_text("Drop it onto the search box again")
    assert search_requests(visit) == []


def test_more_like_this_leaves_the_image_itself_out(visit: Visit) -> None:
    """From the detail view, the images most like the open one are shown, without it."""
    image_id = visit.tile_ids[3]
    visit.tile(image_id).click()
    visit.detail.get_by_role("button", name="More like this").click()
    expect(visit.heading).to_have_text("Like a picture")
    expect(visit.detail).to_be_hidden()
    visit.wait_until_shown()
    assert f"like={image_id}" in visit.page.url
    assert len(visit.tile_ids) > 5
    assert image_id not in visit.tile_ids


def test_a_slow_older_answer_never_replaces_a_newer_one(visit: Visit) -> None:
    """The first search is answered after the second; typing on has cancelled it by then."""
    held: list[Route] = []
    dropped: list[str] = []

    def note(request: Request) -> None:
        dropped.append(request.url.rpartition("/")[2])

    def hold_the_first(route: Route) -> None:
        if "first" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    visit.page.on("requestfailed", note)
    visit.page.route("**/v1/search", hold_the_first)
    visit.search_input.fill("first")
    visit.search_input.press("Enter")
    expect(visit.page.locator("results-bar .facts")).to_have_text("Searching…")
    visit.search_input.fill("second thought")
    visit.search_input.press("Enter")
    expect(visit.heading).to_have_text("“second thought”")
    visit.wait_until_shown()
    shown = visit.tile_ids
    held[0].continue_()
    visit.page.wait_for_timeout(2_000)
    assert visit.tile_ids == shown
    assert "second" in visit.page.url
    assert dropped == ["search"]


def test_typing_searches_after_a_pause_and_makes_one_history_entry(visit: Visit) -> None:
    """Words typed with pauses are one step back, not one for each pause."""
    visit.search_input.press_sequentially("a red", delay=20)
    expect(visit.heading).to_have_text("“a red”")
    visit.search_input.press_sequentially(" coat", delay=20)
    expect(visit.heading).to_have_text("“a red coat”")
    visit.page.go_back()
    expect(visit.heading).to_have_text("Library")
    expect(visit.search_input).to_have_value("")


def test_a_text_that_was_cut_is_warned_of(visit: Visit) -> None:
    """What the service warns of is shown above the hits."""
    visit.search_input.fill("a dog and a cat " * 120)
    visit.search_input.press("Enter")
    expect(visit.page.locator(".warnings li")).to_be_visible()


def test_a_refused_search_says_why_and_can_be_tried_again(visitor: Callable[..., Visit]) -> None:
    """A problem answer's title and detail are shown with a button that asks again."""
    visit = visitor()
    visit.expected_statuses = {404}
    visit.open("?like=no-such-image")
    end = visit.page.locator("results-end")
    expect(end.get_by_role("heading")).not_to_be_empty()
    expect(end).to_contain_text("no-such-image")
    before = len(search_requests(visit))
    end.get_by_role("button", name="Try again").click()
    visit.wait_until_shown()
    assert len(search_requests(visit)) == before + 1


def test_a_least_score_that_nothing_reaches_can_be_dropped(visit: Visit) -> None:
    """Without hits the page says what excludes them and offers to show weaker ones."""
    visit.open("?q=something+unheard+of&min_score=0.99")
    expect(visit.page.locator("results-end")).to_contain_text("Nothing matches")
    visit.page.get_by_role("button", name="Show weaker matches too").click()
    expect(visit.page.locator(".tile").first).to_be_visible()
    assert "min_score" not in visit.page.url


def test_sliders_weigh_the_parts(visit: Visit) -> None:
    """What is set in the panel under the search box is sent and stands in the address."""
    visit.open(f"?q=grass&like={visit.tile_ids[0]}")
    visit.page.get_by_role("button", name="Fine-tune this search").click()
    panel = visit.page.get_by_role("group", name="Fine-tune this search")
    panel.get_by_label("The picture").fill("-0.5")
    panel.get_by_label("Without").fill("people")
    with visit.page.expect_response("**/v1/search"):
        pass
    visit.wait_until_shown()
    assert [part["weight"] for part in search_requests(visit)[-1]["query"]] == [1, -0.5, -0.5]
    assert "weights=1%2C-0.5" in visit.page.url
    visit.page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_an_empty_library_tells_how_to_fill_it(visitor: Callable[..., Visit]) -> None:
    """Without images the page says what to do."""
    visit = visitor()
    answer = json.dumps({"items": [], "next_cursor": None, "total": 0})
    visit.page.route("**/v1/images?*", lambda route: route.fulfill(body=answer))
    visit.open()
    end = visit.page.locator("results-end")
    expect(end).to_contain_text("No images yet")
    with visit.page.expect_file_chooser():
        end.get_by_role("button", name="Add images").click()
