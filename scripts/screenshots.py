"""Take the README's pictures of the page: `python -m scripts.screenshots`.

Starts the service on an empty folder, loads the sample photographs that Python packages carry,
and writes docs/images/*.png, each in 256 colours to stay small in the repository.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from PIL import Image
from playwright.sync_api import Browser, Page

from app.demo.photos import SAMPLE_PHOTOS
from tests.end_to_end.browser import Visit, chromium, sample_photo
from tests.end_to_end.serving import ROOT, Server, serve

MOST_BYTES = 400_000
WIDE = (1200, 750)
PHONE = (360, 720)

Scene: TypeAlias = tuple[str, tuple[int, int], str, str, Callable[[Visit], None] | None]


def load_samples(server: Server) -> dict[str, str]:
    """Upload every sample photograph with its title; gives ids by file name."""
    ids = {}
    for photo in SAMPLE_PHOTOS:
        path = photo.locate()
        if path is None:
            raise SystemExit(f"{photo.package} is not installed: pip install -e '.[demo]'")
        ids[path.name] = server.add(path.name, path.read_bytes(), photo.title)["id"]
    return ids


def fine_tune(server: Server, ids: dict[str, str]) -> None:
    """A version tuned on the samples and their titles, for the Models view to show."""
    titles = {Path(photo.path).name: photo.title for photo in SAMPLE_PHOTOS}
    texts = ("{}", "a photo of {}", "{}, seen from nearby")
    pairs = [
        {"image_id": ids[name], "text": text.format(title)}
        for name, title in titles.items()
        for text in texts
    ]
    server.post("v1/pairs", {"pairs": pairs})
    job = server.post("v1/admin/fine-tune", {"promote": "never"})
    while (job := server.get(f"v1/jobs/{job['id']}"))["finished_at"] is None:
        time.sleep(1)
    if job["state"] != "succeeded":
        raise SystemExit(f"the fine-tune {job['state']}: {job['message']}")


def add_copies(server: Server) -> None:
    """Smaller and re-encoded copies of some samples, for the Copies view to show."""
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        picture = Image.open(sample_photo(name)).convert("RGB")
        width, height = picture.size
        file = io.BytesIO()
        picture.resize((width // 2, height // 2)).save(file, "JPEG", quality=80)
        server.add(f"{Path(name).stem}-small.jpg", file.getvalue())
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=60)
        server.add(f"{Path(name).stem}-web.webp", file.getvalue())


def visit(browser: Browser, server: Server, size: tuple[int, int], scheme: str) -> Visit:
    """A page of that size and colour scheme."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=2 if size == PHONE else 1,
        is_mobile=size == PHONE,
        has_touch=size == PHONE,
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    return Visit(context.new_page(), server.url)


def keep(page: Page, path: Path) -> None:
    """Write what the page shows, as an image of few colours under the size limit."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    palette = picture.quantize(256, Image.Quantize.MEDIANCUT)
    # Dithering keeps skies smooth but compresses badly.
    for dither in (Image.Dither.FLOYDSTEINBERG, Image.Dither.NONE):
        file = io.BytesIO()
        picture.quantize(palette=palette, dither=dither).save(file, "PNG", optimize=True)
        if file.tell() <= MOST_BYTES:
            break
    else:
        raise SystemExit(f"{path.name} takes {file.tell()} bytes; take it of a smaller window")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    print(f"{path}  {picture.width} x {picture.height}, {dither.name}, {file.tell():,} bytes")


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder) / "data") as server:
        ids = load_samples(server)
        cat, coffee = ids["chelsea.png"], ids["coffee.png"]
        composed = f"?q=outdoors&like={cat}&weights=1,0.5"
        fine_tune(server, ids)
        with chromium() as browser:
            take = partial(take_scenes, browser, server, out)
            take(
                ("search-wide", WIDE, "light", "?q=a+cat", None),
                ("library-wide-dark", WIDE, "dark", "", None),
                ("detail-wide-dark", WIDE, "dark", f"?q=a+hot+drink&image={coffee}", None),
                ("composed-wide", WIDE, "light", composed, open_tuning),
                ("models-wide", WIDE, "light", "?view=models", wait_for_versions),
                ("search-phone", PHONE, "light", "?q=the+night+sky", None),
                ("detail-phone-dark", PHONE, "dark", f"?q=a+pet&image={cat}", None),
            )
            add_copies(server)
            take(
                ("copies-wide", WIDE, "light", "?view=copies", wait_for_groups),
                ("copies-phone-dark", PHONE, "dark", "?view=copies", wait_for_groups),
            )


def take_scenes(browser: Browser, server: Server, out: Path, *scenes: Scene) -> None:
    """Take these: name, size, colour scheme, address, and what to do before."""
    for name, size, scheme, address, prepare in scenes:
        visitor = visit(browser, server, size, scheme).open(address)
        if prepare:
            prepare(visitor)
        keep(visitor.page, out / f"{name}.png")
        visitor.page.context.close()


def wait_for_groups(visitor: Visit) -> None:
    """Wait until the Copies view shows its groups and their pictures."""
    visitor.page.locator(".copies-group").first.wait_for()


def wait_for_versions(visitor: Visit) -> None:
    """Wait until the Models view shows what it has."""
    visitor.page.locator("models-view .badge").first.wait_for()


def open_tuning(visitor: Visit) -> None:
    """Open the panel under the search box."""
    visitor.page.get_by_role("button", name="Fine-tune this search").click()


if __name__ == "__main__":
    main()
