"""Fixtures of the page's tests: one server and one browser a module, one page a test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.end_to_end.browser import (
    PATIENCE_MS,
    WIDE,
    Visit,
    chromium,
    drawn_picture,
    sample_photo,
)
from tests.end_to_end.serving import Server, serve

RATIOS = ((480, 320), (320, 480), (400, 400), (640, 360), (300, 400), (900, 300))
DRAWN_IMAGES = 54


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with some photographs and enough drawn pictures to scroll through."""
    with serve(tmp_path_factory.mktemp("page") / "data") as server:
        for number in range(DRAWN_IMAGES):
            width, height = RATIOS[number % len(RATIOS)]
            server.add(f"drawn-{number:02}.jpg", drawn_picture(number, width, height))
        for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png"):
            server.add(name, sample_photo(name).read_bytes())
        yield server


# A module, not the session: Playwright keeps an event loop in this thread while it lives,
# and tests that run loops of their own could not follow it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Callable[..., Visit]]:
    """Makes pages of a size and colour scheme; afterwards none may have had an error."""
    visits: list[Visit] = []

    def visit(size: tuple[int, int] = WIDE, **options: Any) -> Visit:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", **options
        )
        context.set_default_timeout(PATIENCE_MS)
        visits.append(Visit(context.new_page(), server.url))
        return visits[-1]

    yield visit
    for each in visits:
        each.page.context.close()
    assert [error for each in visits for error in each.errors] == []


@pytest.fixture
def visit(visitor: Callable[..., Visit]) -> Visit:
    """A page of a wide window, showing the library."""
    return visitor().open()
