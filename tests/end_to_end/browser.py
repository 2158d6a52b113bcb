"""A real Chromium, a visitor's page in it, and pictures to show, for the tests of the page."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    FloatRect,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from app.demo.photos import SAMPLE_PHOTOS

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 20_000  # a busy machine is slow, not wrong
WIDE = (1280, 800)
PHONE = (360, 740)


def sample_photo(file_name: str) -> Path:
    """A photograph carried by an installed package, by its file name; skips when it is not."""
    photo = next(photo for photo in SAMPLE_PHOTOS if photo.path.endswith(f"/{file_name}"))
    path = photo.locate()
    if path is None:
        pytest.skip(f"{photo.package}, which carries {file_name}, is not installed")
    return path


def drawn_picture(number: int, width: int, height: int) -> bytes:
    """A JPEG unlike any other number's: a gradient between two colours the number decides."""
    first, second = ((number * 71 % 256, number * 37 % 256, number * 151 % 256), (40, 90, 160))
    pixels = Image.new("RGB", (2, 2), first)
    pixels.putpixel((1, 1), second)
    picture = pixels.resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a window; skips where it is missing, fails instead when CI is set."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is missing; on Debian: apt-get install chromium"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass  # without slots: Playwright marks the object whose method listens
class Visit:
    """One visitor's page, what went over its wire, and what went wrong in it."""

    page: Page
    url: str
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    expected_statuses: set[int] = field(default_factory=set)
    """Answers that a test provokes; the browser logs each as an error by itself."""

    def __post_init__(self) -> None:
        """Listen before anything is loaded."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        self.page.on("request", self._on_request)

    def _on_request(self, request: Request) -> None:
        self.requests.append(request)

    def _on_console(self, message: ConsoleMessage) -> None:
        is_expected = any(
            f"status of {status}" in message.text for status in self.expected_statuses
        )
        if message.type in {"error", "warning"} and not is_expected:
            self.errors.append(f"{message.type}: {message.text}")

    def open(self, address: str = "") -> Self:
        """Go to an address of the page and wait until its first answer is shown."""
        self.page.goto(self.url + address)
        self.wait_until_shown()
        return self

    def wait_until_shown(self) -> None:
        """Wait until no list is on its way."""
        # Not `wait_for_function`, which evaluates strings: the content security policy forbids it.
        shown = self.page.locator("html:not(.waiting) image-grid[aria-busy='false']")
        expect(shown).to_be_attached()

    @property
    def search_input(self) -> Locator:
        """The field for the sentence."""
        return self.page.get_by_role("searchbox")

    @property
    def heading(self) -> Locator:
        """What is shown, in words."""
        return self.page.locator("results-bar h1")

    @property
    def detail(self) -> Locator:
        """The detail view."""
        return self.page.locator("image-detail")

    @property
    def detail_id(self) -> str:
        """Id of the open image, from the address."""
        value: str = self.page.evaluate("new URLSearchParams(location.search).get('image') ?? ''")
        return value

    def search(self, text: str) -> None:
        """Type a sentence and press Enter."""
        self.search_input.fill(text)
        self.search_input.press("Enter")
        expect(self.heading).to_contain_text(text)
        self.wait_until_shown()

    def tile(self, image_id: str) -> Locator:
        """The link of one image of the grid."""
        return self.page.locator(f".tile[data-id='{image_id}'] a")

    @property
    def tile_ids(self) -> list[str]:
        """Ids of the images that exist as elements, in reading order."""
        ids: list[str] = self.page.evaluate(
            """[...document.querySelectorAll('.row')]
              .sort((one, other) => one.ariaRowIndex - other.ariaRowIndex)
              .flatMap((row) => [...row.children].map((tile) => tile.dataset.id))"""
        )
        return ids

    @property
    def scroll_y(self) -> float:
        """How far the page is scrolled."""
        y: float = self.page.evaluate("window.scrollY")
        return y

    def scroll_to(self, y: float) -> None:
        """Scroll, and wait until the address's entry has kept the place."""
        self.page.evaluate("(y) => window.scrollTo(0, y)", y)
        self.page.wait_for_timeout(350)

    def box(self, locator: Locator) -> FloatRect:
        """Where an element is."""
        box = locator.bounding_box()
        assert box is not None
        return box

    def drop(self, selector: str, files: Mapping[str, bytes], *, release: bool = True) -> None:
        """Drag files from outside over an element and, unless told not to, let go."""
        self.page.evaluate(
            """([selector, files, release]) => {
              const transfer = new DataTransfer();
              for (const [name, bytes] of Object.entries(files)) {
                const type = name.endsWith(".jpg") ? "image/jpeg" : "";
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
              }
              const target = document.querySelector(selector);
              const kinds = ["dragenter", "dragover", ...(release ? ["drop"] : [])];
              for (const kind of kinds) {
                const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
                target.dispatchEvent(new DragEvent(kind, options));
              }
            }""",
            [selector, {name: list(data) for name, data in files.items()}, release],
        )

    def paste(self, name: str, data: bytes) -> None:
        """Paste a picture from the clipboard."""
        self.page.evaluate(
            """([name, bytes]) => {
              const clipboardData = new DataTransfer();
              const file = new File([new Uint8Array(bytes)], name, { type: "image/jpeg" });
              clipboardData.items.add(file);
              const options = { bubbles: true, cancelable: true, clipboardData };
              document.dispatchEvent(new ClipboardEvent("paste", options));
            }""",
            [name, list(data)],
        )
