"""What only a real server shows: cut connections, descriptors, false lengths, events."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.services import Services
from app.settings import Settings
from tests.app.asking import BOUNDARY, ON_SQLITE, assert_problem, form_end, form_part, strict_json
from tests.app.conftest import SECONDS, Loopback
from tests.pictures import picture_bytes

pytestmark = ON_SQLITE

FILE = b'form-data; name="file"; filename="a.png"'


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)


def descriptors() -> int:
    """How many files and sockets this process has open, client and server together."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def request_head(path: str, length: int, method: str = "POST") -> bytes:
    """The head of a form request that announces so many bytes."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: beholder\r\nContent-Length: {length}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    ).encode()


def answer_on(connection: socket.socket) -> bytes:
    """Everything that is sent until the connection is closed, or silent after an answer."""
    received = b""
    # A reset is an end too.
    with contextlib.suppress(OSError):
        while chunk := connection.recv(65_536):
            received += chunk
            connection.settimeout(0.5)
    return received


def test_fifty_uploads_cut_half_way_leave_nothing(loopback: Loopback, settings: Settings) -> None:
    """No file stays in the data folder and no descriptor in the process."""
    incoming = settings.data_dir / "incoming"
    body = form_part(FILE, picture_bytes(size=(200, 150))) + form_end()
    loopback.get("/livez")
    before = descriptors()
    for number in range(50):
        with loopback.connect() as connection:
            cut = max(1, number * len(body) // 60)
            connection.sendall(request_head("/v1/images", len(body)) + body[:cut])
            if number % 2:
                # A reset instead of a polite end.
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    until(lambda: not list(incoming.iterdir()), "uploads stayed in incoming")
    # Each database connection that a pool may have added meanwhile is three files.
    until(lambda: descriptors() < before + 20, "descriptors stayed open")
    answer = loopback.post("/v1/images", files={"file": ("a.png", picture_bytes())})
    assert answer.status_code == 201
    assert not list(incoming.iterdir())


def test_many_uploads_keep_the_number_of_descriptors(loopback: Loopback) -> None:
    """What an upload opens it closes, whether it is stored, known already or refused."""
    bodies = [picture_bytes(seed=seed) for seed in range(20)] + [b"no picture"] * 5
    with httpx.Client(base_url=loopback.url, timeout=SECONDS) as client:
        for data in bodies:
            client.post("/v1/images", files={"file": ("a.png", data)})
        before = descriptors()
        for number in range(475):
            answer = client.post(
                "/v1/images", files={"file": ("a.png", bodies[number % len(bodies)])}
            )
            assert answer.status_code in {200, 415}
        # Each database connection that a pool may have added meanwhile is three files.
        assert descriptors() < before + 20


def test_a_large_upload_is_refused_while_it_is_sent(loopback: Loopback, settings: Settings) -> None:
    """The answer comes before the end of the body, and the sender can read it."""
    size = 50_000_000
    with loopback.connect() as connection:
        connection.sendall(request_head("/v1/images", size) + form_part(FILE, b"")[:-2])
        connection.settimeout(SECONDS)
        head = connection.recv(65_536)
        assert head.startswith(b"HTTP/1.1 413 ")
    assert not list((settings.data_dir / "incoming").iterdir())


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_length_that_is_not_kept_is_no_upload(
    loopback: Loopback, settings: Settings, is_chunked: bool
) -> None:
    """A body shorter than announced, or chunks that are none, store nothing."""
    body = form_part(FILE, picture_bytes()) + form_end()
    head = request_head("/v1/images", len(body) + 100)
    if is_chunked:
        lie = f"Content-Length: {len(body) + 100}".encode()
        head = head.replace(lie, b"Transfer-Encoding: chunked")
        body = b"zz\r\n" + body
    with loopback.connect() as connection:
        connection.sendall(head + body)
        connection.shutdown(socket.SHUT_WR)
        assert not answer_on(connection).startswith(b"HTTP/1.1 20")
    until(
        lambda: not list((settings.data_dir / "incoming").iterdir()),
        "an upload stayed in incoming",
    )
    assert loopback.get("/v1/images").json()["total"] == 0


def test_a_body_longer_than_announced_ends_where_it_said(loopback: Loopback) -> None:
    """What follows is not taken for the form's bytes."""
    body = form_part(FILE, picture_bytes()) + form_end()
    with loopback.connect() as connection:
        connection.sendall(request_head("/v1/images", len(body) - 30) + body)
        assert b" 400 " in answer_on(connection).splitlines()[0]
    assert loopback.get("/v1/images").json()["total"] == 0


Event = dict[str, Any]


def read_events(url: str, job_id: str, last: str | None, into: list[Event]) -> None:
    """Every event of a job until the stream ends."""
    headers = {} if last is None else {"Last-Event-ID": last}
    path = f"{url}/v1/jobs/{job_id}/events"
    with httpx.stream("GET", path, headers=headers, timeout=SECONDS) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: Event = {}
        for line in answer.iter_lines():
            if not line and event:
                into.append(event)
                event = {}
            elif not line.startswith(":") and line:
                name, _, value = line.partition(": ")
                event[name] = json.loads(value) if name == "data" else value


def test_the_events_of_a_job_tell_its_life_and_end(loopback: Loopback, services: Services) -> None:
    """The state now, each record, each change, and the end."""
    job = services.jobs.enqueue("evaluate", {}, unit="images")
    events: list[Event] = []
    reader = threading.Thread(target=read_events, args=(loopback.url, job.id, None, events))
    reader.start()
    until(lambda: bool(events), "no first event")
    assert events[0]["data"]["state"] == "queued"
    held = services.jobs.claim("w")
    assert held is not None
    services.jobs.report(held, "w", done=1, total=2)
    until(lambda: len(events) > 1, "no second event")
    assert events[1]["data"]["progress"] == {"done": 1, "total": 2, "unit": "images"}
    for step in range(3):
        services.jobs.record(held, "w", "curve", {"step": step})
    services.jobs.finish(held, "w", "succeeded", message="done")
    reader.join(SECONDS)
    assert not reader.is_alive()
    steps = [event["data"]["data"]["step"] for event in events if event["event"] == "record"]
    assert steps == [0, 1, 2]
    assert events[-1]["event"] == "job"
    assert events[-1]["data"] == loopback.get(f"/v1/jobs/{job.id}").json()
    ids = [event["id"] for event in events]
    assert len(set(ids)) == len(ids)
    # Who comes back misses and repeats nothing, wherever the stream broke.
    first = next(at for at, event in enumerate(events) if event["event"] == "record")
    for at, last in enumerate(ids[first:], start=first):
        again: list[Event] = []
        read_events(loopback.url, job.id, last, again)
        assert again == events[at + 1 :]
    for last in (None, "nonsense", "-1.x", "9" * 100):
        again = []
        read_events(loopback.url, job.id, last, again)
        assert [event["data"] for event in again] == [event["data"] for event in events[first:]]
    listed = loopback.get(f"/v1/jobs/{job.id}/records?limit=2").json()
    assert [record["data"]["step"] for record in listed["items"]] == [0, 1]
    rest = loopback.get(f"/v1/jobs/{job.id}/records?cursor={listed['next_cursor']}").json()
    assert [record["data"]["step"] for record in rest["items"]] == [2]
    assert rest["next_cursor"] is None


def test_events_of_an_unknown_job_are_a_problem_and_no_stream(loopback: Loopback) -> None:
    """The refusal comes before the stream begins."""
    assert_problem(loopback.get("/v1/jobs/none/events"), 404, "not-found")
    answer = loopback.get("/v1/jobs/none/events", headers={"Last-Event-ID": "x" * 101})
    assert_problem(answer, 422, "invalid-request")


def test_requests_that_are_no_http_do_not_end_the_server(loopback: Loopback) -> None:
    """Noise on the port is refused, and the next request is answered."""
    for noise in (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 1_000,
        b"GET\r\n\r\n",
    ):
        with loopback.connect() as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            answer_on(connection)
    assert strict_json(loopback.get("/livez")) == {"status": "alive"}


def test_a_head_of_any_size_is_refused_politely(loopback: Loopback) -> None:
    """Long URLs and headers are a 4xx or a closed connection, never a 5xx."""
    with httpx.Client(base_url=loopback.url, timeout=SECONDS) as client:
        for request in (
            {"url": "/v1/search", "params": {"text": "x" * 60_000}},
            {"url": "/livez", "headers": {"X-Long": "x" * 60_000}},
        ):
            try:
                answer = client.get(**request)  # type: ignore[arg-type]
            except httpx.HTTPError:
                continue
            assert answer.status_code < 500


def test_what_was_uploaded_lies_in_the_store_alone(loopback: Loopback, tmp_path: Path) -> None:
    """Nothing of an upload goes to the system's temporary folder."""
    before = set(Path("/tmp").iterdir())
    data = picture_bytes(size=(300, 200))
    loopback.post("/v1/images", files={"file": ("a.png", data)}).raise_for_status()
    new = {path for path in set(Path("/tmp").iterdir()) - before if "beholder" in path.name}
    assert new == set()
