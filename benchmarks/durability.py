"""Kill -9 at random moments under uploads, changes, deletes and reindexes, and what was lost.

    python -m benchmarks.durability --rounds 200

Each round starts a server and a worker, checks that what they have is what was acknowledged, lets
clients work, and kills both processes in the middle of a few steps later. An answer that came is a
promise; a request that was cut off may have happened or not. It goes over HTTP and a real disk; the
model is a stand-in, so that the kills fall on storing and not on embedding.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.killable import Killable, kill

CLIENTS = 3
IMAGES_WANTED = 120
FILES_READ = 25
# A kill comes after so many acknowledged steps at most, and so long after the last of them.
STEPS_ALLOWED = 15
LONGEST_PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 60
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@dataclass(slots=True)
class Known:
    """What has been promised. `maybe` holds digests whose request was cut off."""

    # The id and caption of each image that must be there, by digest.
    present: dict[str, tuple[str, str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)
    # Captions that a cut-off request may have changed, by digest.
    maybe_captions: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class Clients:
    """Threads that upload, change and delete until the server is gone."""

    def __init__(
        self, url: str, known: Known, rng: random.Random, first: int, images_wanted: int
    ) -> None:
        self._url = url
        self._images_wanted = images_wanted
        self._known = known
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._next = first
        self._steps = 0
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(rng.random()),))
            for _ in range(CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, steps: int) -> None:
        """Wait until so many steps have been acknowledged."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._steps < steps and time.monotonic() < deadline:
            time.sleep(0.001)

    def join(self) -> int:
        """Wait until every thread has seen the end; gives the number of the next picture."""
        for thread in self._threads:
            thread.join()
        return self._next

    def _run(self, rng: random.Random) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while True:
                digest, step = self._choose(rng)
                try:
                    self._do(client, digest, step, rng)
                    self._steps += 1
                except httpx.TransportError:
                    with self._lock:
                        self._known.counts["cut off"] += 1
                    return
                finally:
                    with self._lock:
                        self._busy.discard(digest or "")

    def _choose(self, rng: random.Random) -> tuple[str | None, str]:
        """A kind of step and an image for it that no other thread works on."""
        with self._lock:
            idle = [digest for digest in self._known.present if digest not in self._busy]
            crowd = len(self._known.present) / self._images_wanted
            chance = rng.random()
            if not idle or chance > 0.15 + 0.5 * crowd:
                return None, "upload"
            digest = rng.choice(idle)
            self._busy.add(digest)
            return digest, "change" if chance < 0.1 else "delete"

    def _do(self, client: httpx.Client, digest: str | None, step: str, rng: random.Random) -> None:
        if digest is None:
            self._upload(client, rng)
            return
        known = self._known
        with self._lock:
            image_id, _ = known.present[digest]
        path = f"/v1/images/{image_id}"
        if step == "change":
            new = f"caption {rng.random()}"
            with self._lock:
                known.maybe_captions[digest] = new
            client.patch(path, json={"caption": new}).raise_for_status()
            with self._lock:
                del known.maybe_captions[digest]
                known.present[digest] = (image_id, new)
        else:
            with self._lock:
                del known.present[digest]
                known.maybe.add(digest)
            client.delete(path).raise_for_status()
            with self._lock:
                known.maybe.discard(digest)
                known.deleted.add(digest)
        with self._lock:
            known.counts[step] += 1

    def _upload(self, client: httpx.Client, rng: random.Random) -> None:
        with self._lock:
            number = self._next
            self._next += 1
        data = picture(number)
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._known.maybe.add(digest)
        answer = client.post(
            "/v1/images",
            files={"file": (f"{number}.png", data)},
            data={"caption": f"{number}", "collection": rng.choice(["one", "other"])},
        )
        answer.raise_for_status()
        with self._lock:
            self._known.maybe.discard(digest)
            self._known.present[digest] = (answer.json()["id"], f"{number}")
            self._known.counts["upload"] += 1


def picture(number: int) -> bytes:
    """A small picture that no other number has."""
    rng = np.random.default_rng(number)
    noise = rng.integers(0, 40, size=(24, 32, 3))
    pixels = np.clip(np.array(COLOURS[number % 3]) - noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def faults(client: httpx.Client, known: Known, rng: random.Random) -> list[str]:
    """Every broken promise; then what was uncertain is taken as it turned out."""
    stored = {image["sha256"]: image for image in _listed(client)}
    answer = client.get("/v1/search", params={"text": "red", "limit": 1_000})
    answer.raise_for_status()
    found = {hit["image"]["sha256"] for hit in answer.json()["hits"]}
    broken = [f"lost: {digest}" for digest in set(known.present) - set(stored)]
    broken += [f"came back: {digest}" for digest in known.deleted & (set(stored) | found)]
    expected = set(known.present) | known.maybe
    broken += [f"phantom: {digest}" for digest in (set(stored) | found) - expected - known.deleted]
    broken += [f"not found by a search: {digest}" for digest in set(stored) - found]
    for digest in set(known.present) & set(stored):
        image_id, caption = known.present[digest]
        image = stored[digest]
        if image["id"] != image_id:
            broken.append(f"another id: {digest}")
        if image["caption"] not in {caption, known.maybe_captions.get(digest)}:
            broken.append(f"another caption: {digest}")
    for digest in rng.sample(sorted(stored), min(FILES_READ, len(stored))):
        content = client.get(stored[digest]["urls"]["file"]).content
        if hashlib.sha256(content).hexdigest() != digest:
            broken.append(f"other bytes: {digest}")
    known.counts["cut off and done"] += len(known.maybe & set(stored))
    known.present = {digest: (image["id"], image["caption"]) for digest, image in stored.items()}
    known.maybe.clear()
    known.maybe_captions.clear()
    return broken


def run(
    folder: Path,
    *,
    rounds: int,
    seed: int,
    database_url: str | None = None,
    images_wanted: int = IMAGES_WANTED,
) -> tuple[list[str], Known]:
    """So many rounds in `folder`; gives every broken promise and what was done.

    The nearer to `images_wanted` images there are, the more of them are deleted.
    """
    rng = random.Random(seed)
    known = Known()
    broken: list[str] = []
    settings: dict[str, Any] = {"data_dir": str(folder / "data")}
    if database_url is not None:
        settings["database_url"] = database_url
    number = 0
    live: set[str] = set()
    with Killable(folder / "service.log") as killable:
        for round_number in range(rounds + 1):
            with httpx.Client(base_url=f"http://127.0.0.1:{free_port()}", timeout=60) as client:
                settings["model"] = f"colour-{round_number % 3}"
                pids = killable.start(client, **settings)
                broken += [f"round {round_number}: {one}" for one in faults(client, known, rng)]
                live.add(client.get("/readyz").json()["model_version"])
                if round_number == rounds:
                    kill(pids)
                    break
                clients = Clients(str(client.base_url), known, rng, number, images_wanted)
                if all(job["finished_at"] for job in client.get("/v1/jobs").json()["items"]):
                    client.post("/v1/admin/reindex", json={}).raise_for_status()
                    known.counts["reindex"] += 1
                clients.wait_for(rng.randint(0, STEPS_ALLOWED))
                time.sleep(rng.random() * LONGEST_PAUSE_SECONDS)
                kill(pids)
                number = clients.join()
    known.counts["promotion"] = len(live) - 1
    return broken, known


def _listed(client: httpx.Client) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"limit": 1_000} | ({"cursor": cursor} if cursor else {})
        answer = client.get("/v1/images", params=params)
        answer.raise_for_status()
        page = answer.json()
        images += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return images


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Run the rounds, print the table, end with 1 when a promise was broken."""
    from benchmarks.report import publish

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database-url", help="default is SQLite in the data folder")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        broken, known = run(
            Path(folder),
            rounds=options.rounds,
            seed=options.seed,
            database_url=options.database_url,
        )
    seconds = time.monotonic() - began
    rows = [
        {"measure": "rounds of kill -9", "value": options.rounds},
        *(
            {"measure": f"acknowledged: {name}", "value": known.counts[name]}
            for name in ("upload", "change", "delete", "reindex", "promotion")
        ),
        {"measure": "requests cut off", "value": known.counts["cut off"]},
        {"measure": "of these done", "value": known.counts["cut off and done"]},
        {"measure": "broken promises", "value": len(broken)},
        {"measure": "seconds a round", "value": seconds / max(1, options.rounds)},
    ]
    is_postgresql = (options.database_url or "").startswith("postgresql")
    name = "durability_postgresql" if is_postgresql else "durability"
    publish(name, rows, seed=options.seed, model="stand-in")
    if broken:
        sys.exit("\n".join(broken[:50]))


if __name__ == "__main__":
    main()
