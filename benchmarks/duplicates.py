"""How many copies and crops of photos are found, and how many different photos are called alike.

    python benchmarks/duplicates.py --photos FOLDER [--originals 400] [--copied 40]

The photos go into a library of its own as a user's would, with copies of some of them: other sizes,
formats, qualities and brightness, crops, and shots that are moved a little. Then the library is
compared. For each kind: the share of copies whose two images were graded `same`, and graded at all.
Last row: the share of different photos that were linked to one another.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps
from report import publish

from app.services import Services, open_services
from app.settings import Settings
from index import Upload
from index.store import near_duplicates
from index.store.near_duplicates import Grade

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}

GRADES: tuple[Grade, ...] = ("same", "similar")

Change = Callable[[Image.Image], Image.Image]


def scaled(share: float) -> Change:
    """Another size."""
    return lambda image: image.resize(
        (max(1, int(image.width * share)), max(1, int(image.height * share))),
        Image.Resampling.BICUBIC,
    )


def cropped(left: float, top: float, right: float, bottom: float) -> Change:
    """Without these shares of the width and height at each side."""
    return lambda image: image.crop(
        (
            int(image.width * left),
            int(image.height * top),
            int(image.width * (1 - right)),
            int(image.height * (1 - bottom)),
        )
    )


KINDS: dict[str, tuple[Change, str, int]] = {
    "JPEG, quality 30": (scaled(1), "JPEG", 30),
    "WebP, quality 50": (scaled(1), "WEBP", 50),
    "half the width": (scaled(1 / 2), "JPEG", 85),
    "a quarter of the width": (scaled(1 / 4), "JPEG", 85),
    "a fifth brighter": (lambda image: image.point(lambda v: min(255, int(v * 1.2))), "JPEG", 85),
    "crop of 98 %": (cropped(0.01, 0.01, 0.01, 0.01), "JPEG", 85),
    "crop of 90 %": (cropped(0.05, 0.05, 0.05, 0.05), "JPEG", 85),
    "crop of 75 %": (cropped(0.125, 0.125, 0.125, 0.125), "JPEG", 85),
    "moved by a twelfth": (cropped(1 / 12, 0, 0, 1 / 12), "JPEG", 85),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--originals", type=int, default=400)
    parser.add_argument("--copied", type=int, default=40)
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in SUFFIXES)
    random.Random(0).shuffle(photos)
    photos = photos[: options.originals]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), log_format="json")
        with open_services(settings) as services:
            originals = [added(services, path.read_bytes()) for path in photos]
            copies = {
                kind: [added(services, changed(path, kind)) for path in photos[: options.copied]]
                for kind in KINDS
            }
            services.duplicate_finder.run()
            links = {grade: linked(services, grade) for grade in GRADES}
    rows: list[dict[str, object]] = []
    for kind, found in copies.items():
        twos = {tuple(sorted(two)) for two in zip(originals, found, strict=False)}
        same, similar = (len(twos & links[grade]) / len(twos) for grade in GRADES)
        rows.append({"kind": kind, "same": same, "same or similar": same + similar})
    among = set(originals)
    strangers = {
        grade: len({number for two in found if set(two) <= among for number in two})
        / len(originals)
        for grade, found in links.items()
    }
    rows.append(
        {
            "kind": "different photos",
            "same": strangers["same"],
            "same or similar": strangers["same"] + strangers["similar"],
        }
    )
    publish("duplicates", rows, photos=len(photos), copied=options.copied)


def added(services: Services, content: bytes) -> int:
    """The number of the image of these bytes."""
    path = services.blobs.incoming()
    path.write_bytes(content)
    upload = Upload(path, hashlib.sha256(content).hexdigest(), len(content), "photo")
    return services.indexer.add(upload, wait_seconds=60).image.number


def changed(path: Path, kind: str) -> bytes:
    """The file of a changed copy."""
    change, saved_as, quality = KINDS[kind]
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    file = io.BytesIO()
    change(image).save(file, saved_as, quality=quality)
    return file.getvalue()


def linked(services: Services, grade: Grade) -> set[tuple[int, ...]]:
    """Every two images of this grade, the older first."""
    with services.database.reading() as session:
        return {
            (two.first_number, two.second_number)
            for chunk in near_duplicates.undecided(session, grade)
            for two in chunk
        }


if __name__ == "__main__":
    main()
