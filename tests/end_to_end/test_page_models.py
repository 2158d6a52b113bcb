"""The page's Models view: versions, pairs, a fine-tune's curves and report, and jobs, live."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.end_to_end.browser import PHONE, WIDE, Visit
from tests.end_to_end.serving import Server

pytestmark = pytest.mark.browser

LONG_MS = 120_000  # a worker process starts and loads the model
CHECKS = [
    {
        "name": "domain_recall",
        "title": "Recall on held-out pairs",
        "before": 0.41,
        "after": 0.38,
        "allowed": "must rise",
        "passed": False,
    },
    {
        "name": "agreement",
        "title": "Agreement on general queries",
        "before": 1.0,
        "after": 0.93,
        "allowed": "may fall by 0.15",
        "passed": True,
    },
]


def job_of(**changes: Any) -> dict[str, Any]:
    """A fine-tune as the service describes it."""
    return {
        "id": "0123456789abcdef",
        "kind": "fine-tune",
        "state": "running",
        "progress": {"done": 3, "total": 9, "unit": "steps"},
        "message": "training the heads",
        "result": None,
        "problem": None,
        "cancel_requested": False,
        "paused": None,
        "attempts": 1,
        "created_at": "2026-11-25T05:00:00Z",
        "started_at": "2026-11-25T05:00:01Z",
        "finished_at": None,
        "updated_at": "2026-11-25T05:00:02Z",
    } | changes


def answer(route: Route, content: Any, status: int = 200) -> None:
    """Answer in the place of the service."""
    kind = "application/json" if status < 400 else "application/problem+json"
    route.fulfill(status=status, content_type=kind, body=json.dumps(content))


def open_models(visit: Visit) -> Locator:
    """The Models view, reached by its button."""
    visit.page.get_by_role("button", name="Models, pairs and jobs").click()
    view = visit.page.locator("models-view")
    expect(view.get_by_role("heading", name="Models", exact=True)).to_be_focused()
    return view


def version(view: Locator, version_id: str) -> Locator:
    """The row of one version."""
    heading = view.page.get_by_role("heading", name=version_id, exact=True)
    return view.locator(".versions > li").filter(has=heading)


def test_the_view_has_an_address_and_the_images_stay_where_they_were(visit: Visit) -> None:
    """Browser back leads to the same place of the list; the address alone opens the view."""
    visit.scroll_to(400)
    before = visit.scroll_y
    view = open_models(visit)
    assert "view=models" in visit.page.url
    expect(visit.page.locator("main")).to_be_hidden()
    expect(view.locator(".versions > li").first).to_be_visible()
    visit.page.go_back()
    expect(view).to_be_hidden()
    expect(visit.page.locator("main")).to_be_visible()
    assert abs(visit.scroll_y - before) < 5
    visit.page.go_forward()
    expect(view).to_be_visible()
    visit.page.reload()
    expect(view.locator(".badge.live")).to_be_visible()
    view.get_by_role("button", name="Back to the images").press("Enter")
    expect(view).to_be_hidden()
    visit.search("a red boat")
    view = open_models(visit)
    visit.search("a cat")
    expect(view).to_be_hidden()


def test_a_version_is_registered_built_promoted_taken_back_and_deleted(
    visit: Visit, server: Server
) -> None:
    """Its whole life by keyboard and pointer, with the reindex's progress live."""
    view = open_models(visit)
    first = view.locator(".versions > li.live h3").inner_text()
    view.get_by_label("Model to register").fill("compact")
    view.get_by_role("button", name="Register").press("Enter")
    expect(visit.page.locator(".notice")).to_contain_text("is registered", timeout=LONG_MS)
    row = view.locator(".versions > li.building")
    made = row.locator("h3").inner_text()
    row = version(view, made)
    row.get_by_role("button", name=f"Embed the images {made}").click()
    job = view.locator("jobs-panel li").first
    expect(job).to_contain_text("Reindex")
    expect(row.locator(".badge")).to_have_text("Ready", timeout=LONG_MS)
    expect(job).to_contain_text("Succeeded")
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()

    row.get_by_role("button", name=f"Promote {made}").click()
    expect(row.locator(".badge")).to_have_text("Live")
    assert server.get("v1/search?text=cat")["model_version"] in {first, made}
    view.get_by_role("button", name="Roll back").click()
    expect(version(view, first).locator(".badge")).to_have_text("Live")
    remove = row.get_by_role("button", name=f"Delete {made}")
    remove.click()
    visit.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(row).to_be_visible()
    remove.click()
    visit.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert made not in {each["id"] for each in server.get("v1/models")["items"]}
    visit.expected_statuses.add(422)
    view.get_by_label("Model to register").fill("/etc/passwd")
    view.get_by_role("button", name="Register").click()
    expect(visit.page.locator(".notice.problem")).to_contain_text("BEHOLDER_MODEL_ROOTS")


def test_a_promotion_that_is_not_better_shows_why_and_can_be_forced(visit: Visit) -> None:
    """The gate's numbers are shown first; only who confirms them forces it."""
    forced: list[bool] = []
    ready = {
        "id": "compact-0000aaaa",
        "architecture": "compact",
        "dimension": 256,
        "origin": "fine-tune",
        "state": "ready",
        "metrics": {},
        "created_at": "2026-11-25T05:00:00Z",
        "promoted_at": None,
    }

    def promote(route: Route) -> None:
        forced.append(route.request.post_data_json["force"])
        if forced[-1]:
            answer(route, ready | {"state": "live"})
        else:
            problem = {"title": "It is not better", "detail": "x", "status": 409, "checks": CHECKS}
            answer(route, problem, 409)

    visit.expected_statuses.add(409)
    visit.page.route("**/v1/models", lambda route: answer(route, {"items": [ready]}))
    visit.page.route("**/promote", promote)
    view = open_models(visit)
    dialog = visit.page.get_by_role("dialog")
    view.get_by_role("button", name="Promote").click()
    expect(dialog.get_by_role("row", name="Recall on held-out pairs")).to_contain_text("41.0 %")
    expect(dialog.get_by_role("row", name="Recall on held-out pairs")).to_contain_text("not passed")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    visit.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert forced == [False]
    view.get_by_role("button", name="Promote").click()
    dialog.get_by_role("button", name="Promote all the same").click()
    expect(visit.page.locator(".notice")).to_contain_text("answers from now on")
    assert forced == [False, False, True]


def test_a_fine_tune_is_started_with_its_settings_and_drawn_while_it_runs(visit: Visit) -> None:
    """What was chosen is sent; the curves grow by what the job records; cancel is one press."""
    sent: list[Any] = []
    check = {
        "pairs": 40,
        "images": 20,
        "texts": 40,
        "train_images": 17,
        "validation_images": 3,
        "is_trainable": True,
        "findings": [],
    }
    jobs: list[dict[str, Any]] = []

    def start(route: Route) -> None:
        sent.append(route.request.post_data_json)
        jobs.insert(0, job_of())
        answer(route, jobs[0], 202)

    def events(route: Route) -> None:
        points = [{"step": step, "loss": 2 - step / 4, "note": "x"} for step in range(5)]
        stream = "".join(
            f"event: record\nid: {at}.\ndata: {json.dumps({'name': 'curve', 'data': point})}\n\n"
            for at, point in enumerate(points, start=1)
        )
        route.fulfill(content_type="text/event-stream", body=f"retry: 60000\n{stream}")

    def cancel(route: Route) -> None:
        jobs[0] |= {"cancel_requested": True}
        answer(route, jobs[0], 202)

    visit.page.route("**/v1/pairs/check", lambda route: answer(route, check))
    visit.page.route("**/v1/admin/fine-tune", start)
    visit.page.route("**/v1/jobs?*", lambda route: answer(route, {"items": jobs}))
    visit.page.route("**/v1/jobs/*/events", events)
    visit.page.route("**/v1/jobs/*/cancel", cancel)
    view = open_models(visit)
    view.get_by_label("What is trained").select_option("The last blocks too")
    view.get_by_text("More settings").click()
    view.get_by_label("Steps").fill("120")
    view.get_by_role("button", name="Start fine-tuning").click()
    job = view.locator("jobs-panel li").first
    expect(job).to_contain_text("Training the heads – 3 of 9 steps")
    expect(job.get_by_role("img", name="Loss: from 2 to 1 at step 4")).to_be_visible()
    expect(job.locator("figure")).to_have_count(1)
    assert sent == [{"promote": "if_better", "trained": "last_blocks", "steps": 120}]
    job.get_by_role("button", name="Cancel the fine-tune").press("Enter")
    expect(job).to_contain_text("Cancelling")
    jobs[0] = job_of(
        state="failed", finished_at="2026-11-25T05:01:00Z", problem={"detail": "<b>no</b>"}
    )
    expect(job).to_contain_text("Failed: <b>no</b>")


def test_the_report_of_a_version_shows_before_and_after(visit: Visit) -> None:
    """Measures, curves and the picture of queries; closing leaves the view as it was."""

    def measures(recall: float) -> dict[str, Any]:
        return {"text_to_image": {"recall_at_1": recall}, "zero_shot_top_1": None}

    tuned = {
        "id": "compact-0000bbbb",
        "architecture": "compact",
        "dimension": 256,
        "origin": "fine-tune",
        "state": "live",
        "metrics": {
            "fine_tune": {"job": "x"},
            "evaluation": {
                "domain": measures(0.78),
                "domain_before": measures(0.41),
                "general": {"agreement": 0.93},
                "gate": {"passed": False, "checks": CHECKS},
            },
        },
        "created_at": "2026-11-25T05:00:00Z",
        "promoted_at": "2026-11-25T05:00:00Z",
    }
    report = {
        "curves": [{"stage": "heads", "step": step, "loss": 1 / (1 + step)} for step in range(4)],
        "before": measures(0.41),
        "after": measures(0.78),
        "urls": {"curves": None, "contact_sheet": "x"},
        "queries": [{"text": "<i>hat</i>", "image_id": "x", "rank_before": 9, "rank_after": 1}],
    }
    visit.page.route("**/v1/models", lambda route: answer(route, {"items": [tuned]}))
    visit.page.route("**/report", lambda route: answer(route, report))
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
    visit.page.route(
        "**/contact-sheet.png",
        lambda route: route.fulfill(content_type="image/svg+xml", body=svg),
    )
    view = open_models(visit)
    expect(view.locator(".measures")).to_contain_text("41.0 % → 78.0 %")
    view.get_by_role("button", name="Report").click()
    shown = view.locator("version-report")
    expect(shown.get_by_role("heading", name="Report of compact-0000bbbb")).to_be_focused()
    expect(shown.get_by_role("row", name="Text to image, recall@1")).to_contain_text("78.0 %")
    expect(shown.get_by_role("img", name="Loss: from 1 to 0.25")).to_be_visible()
    expect(shown.locator(".sheet img")).to_have_attribute(
        "alt",
        "Queries with their first hits before and after. “<i>hat</i>”: rank 9 before, 1 after",
    )
    shown.get_by_role("button", name="Close the report").click()
    expect(shown).to_be_hidden()


def test_pairs_are_uploaded_with_what_is_wrong_and_removed(visit: Visit, server: Server) -> None:
    """Good lines are kept, refused ones come back with line and reason, text stays text."""
    images = server.get("v1/images?limit=2")["items"]
    hostile = '<img src=x onerror="alert(1)"> a drawing'
    lines = [
        "image_id\ttext",
        f"{images[0]['id']}\t{hostile}",
        "no-such-image\ta boat",
        f"{images[1]['id']}\tanother drawing",
    ]
    view = open_models(visit)
    panel = view.locator("pairs-panel")
    expect(panel).to_contain_text("There are none yet.")
    start = view.get_by_role("button", name="Start fine-tuning")
    expect(start).to_be_disabled()
    table = {"name": "pairs.tsv", "mimeType": "text/tab-separated-values"}
    file = table | {"buffer": "\n".join(lines).encode()}
    panel.get_by_label("Add a table or a zip").set_input_files(file)
    expect(panel.get_by_role("status")).to_contain_text("2 pairs added, 1 line refused")
    expect(panel.locator(".refused li")).to_contain_text("Line 3")
    expect(panel.locator(".pairs li").filter(has_text=hostile)).to_be_visible()
    expect(panel.locator(".pairs img").first).to_have_js_property("complete", value=True)
    expect(panel.locator(".findings .error").first).to_be_visible()
    expect(start).to_be_disabled()
    panel.get_by_role("button", name="Remove the pair: another drawing").click()
    expect(panel.locator(".pairs li")).to_have_count(1)
    panel.get_by_role("button", name="Remove the pair").click()
    expect(panel).to_contain_text("There are none yet.")


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "dark"), (PHONE, "light")])
def test_the_view_fits_its_window(
    visitor: Callable[..., Visit], size: tuple[int, int], scheme: str
) -> None:
    """Nothing is wider than the window, and every control has a name."""
    visit = visitor(size, color_scheme=scheme).open("?view=models")
    expect(visit.page.locator("models-view .badge.live")).to_be_visible()
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    nameless = visit.page.evaluate(
        """[...document.querySelectorAll("models-view :is(button, input, select, a[href])")]
          .filter((node) => node.checkVisibility())
          .filter((node) => !node.ariaLabel && !node.textContent.trim() && !node.labels?.length)
          .map((node) => node.outerHTML)"""
    )
    assert nameless == []


def test_a_list_of_the_version_before_says_so_and_starts_again(visit: Visit) -> None:
    """After a promotion a search that goes on is told why it can't; trying again begins anew."""
    cursors: list[str | None] = []

    def search(route: Route) -> None:
        body = route.request.post_data_json
        cursors.append(body.get("cursor"))
        found = route.fetch(post_data={**body, "cursor": None, "limit": 30})
        if body.get("cursor"):
            problem = {
                "type": "urn:beholder:problem:bad-cursor",
                "title": "The cursor can't be used",
                "detail": "Another model version has become live. Start again without it.",
                "status": 422,
            }
            answer(route, problem, 422)
        else:
            has_expired = any(cursors)
            answer(route, found.json() | {"next_cursor": None if has_expired else "x"})

    visit.expected_statuses.add(422)
    visit.page.route("**/v1/search", search)
    visit.search("a cat")
    visit.scroll_to(100_000)
    end = visit.page.locator("results-end")
    expect(end).to_contain_text("Another model version has become live")
    end.get_by_role("button").click()
    expect(end).not_to_contain_text("Another model version")
    visit.wait_until_shown()
    assert cursors[-2:] == ["x", None]
