"""Micro-batching: shared passes, texts first, bounds that hold, errors that reach their cause."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model import EmbeddingQueue, EmptyText, QueueFull, TextEmbeddings, TextOverContext
from tests.fakes import ColourEncoder


class SlowEncoder(ColourEncoder):
    """The fake with a gate before each pass, so that a test decides what arrives together."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(checkpoint)
        self.gate = threading.Event()
        self.started = threading.Event()
        self.order: list[str] = []

    def embed_pixels(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """As the fake, behind the gate."""
        self._pass("pixels")
        return super().embed_pixels(pixels)

    def embed_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """As the fake, behind the gate."""
        self._pass("texts")
        return super().embed_texts(texts)

    def _pass(self, kind: str) -> None:
        self.order.append(kind)
        self.started.set()
        assert self.gate.wait(10)


@pytest.fixture
def encoder(tmp_path: Path) -> SlowEncoder:
    """A fake whose passes wait for the gate."""
    return SlowEncoder(tmp_path / "weights")


@pytest.fixture
def queue(encoder: SlowEncoder) -> Iterator[EmbeddingQueue]:
    """A short queue before it."""
    with EmbeddingQueue(encoder, max_waiting=8, max_batch=4) as opened:
        yield opened
        encoder.gate.set()


def pixels(value: int) -> np.ndarray:
    """A plain grey input."""
    return np.full((32, 32, 3), value, dtype=np.uint8)


def test_what_arrives_during_a_pass_forms_the_next(
    queue: EmbeddingQueue, encoder: SlowEncoder
) -> None:
    """One picture goes alone, the four that came meanwhile share a pass, each with its vector."""
    futures = [queue.submit_pixels(pixels(0))]
    assert encoder.started.wait(10)
    futures += [queue.submit_pixels(pixels(value)) for value in (50, 100, 150, 200)]
    encoder.gate.set()
    vectors = [future.result() for future in futures]
    assert encoder.batch_sizes == [1, 4]
    for vector, value in zip(vectors, (0, 50, 100, 150, 200), strict=True):
        np.testing.assert_array_equal(vector, encoder.embed_pixels([pixels(value)])[0])


def test_a_text_goes_before_waiting_pictures(queue: EmbeddingQueue, encoder: SlowEncoder) -> None:
    """A query waits for the pass in hand, not for the uploads behind it."""
    first = [queue.submit_pixels(pixels(0))]
    assert encoder.started.wait(10)
    first += [queue.submit_pixels(pixels(value)) for value in range(1, 6)]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(queue.embed_text, "red")
        while queue.waiting < 6:
            pass
        encoder.gate.set()
        asked.result()
        for future in first:
            future.result()
    assert encoder.order[:2] == ["pixels", "texts"]


def test_a_full_queue_refuses_and_keeps_what_it_has(
    queue: EmbeddingQueue, encoder: SlowEncoder
) -> None:
    """Over the bound the caller is told to come back; nothing accepted is lost."""
    accepted = [queue.submit_pixels(pixels(0))]
    assert encoder.started.wait(10)
    accepted += [queue.submit_pixels(pixels(value)) for value in range(1, 9)]
    with pytest.raises(QueueFull) as caught:
        queue.submit_pixels(pixels(99))
    assert caught.value.retry_after_seconds > 0
    encoder.gate.set()
    assert len([future.result() for future in accepted]) == 9


def test_room_in_a_full_queue_is_waited_for(queue: EmbeddingQueue, encoder: SlowEncoder) -> None:
    """Patient work gets its place as soon as there is one, and is refused when there is none."""
    accepted = [queue.submit_pixels(pixels(0))]
    assert encoder.started.wait(10)
    accepted += [queue.submit_pixels(pixels(value)) for value in range(1, 9)]
    with pytest.raises(QueueFull):
        queue.submit_pixels(pixels(99), wait_seconds=0.01)
    with ThreadPoolExecutor(4) as pool:
        patient = [
            pool.submit(queue.submit_pixels, pixels(value), wait_seconds=60)
            for value in (100, 101, 102, 103)
        ]
        encoder.gate.set()
        accepted += [future.result() for future in patient]
    assert len([future.result() for future in accepted]) == 13


def test_who_waits_for_room_hears_of_the_end(encoder: SlowEncoder) -> None:
    """Closing refuses those who still wait."""
    queue = EmbeddingQueue(encoder, max_waiting=1)
    accepted = [queue.submit_pixels(pixels(0))]
    assert encoder.started.wait(10)
    accepted.append(queue.submit_pixels(pixels(1)))
    with ThreadPoolExecutor(2) as pool:
        patient = pool.submit(queue.submit_pixels, pixels(2), wait_seconds=60)
        closing = pool.submit(queue.close)
        with pytest.raises(QueueFull):
            patient.result(30)
        encoder.gate.set()
        closing.result(30)
    assert len([future.result() for future in accepted]) == 2


def test_a_bad_text_fails_alone(queue: EmbeddingQueue, encoder: SlowEncoder) -> None:
    """Others that happened to share its batch are answered."""
    with ThreadPoolExecutor(4) as pool:
        blocking = pool.submit(queue.embed_text, "first")
        assert encoder.started.wait(10)
        good, bad = pool.submit(queue.embed_text, "red"), pool.submit(queue.embed_text, "  ")
        while queue.waiting < 2:
            pass
        encoder.gate.set()
        blocking.result()
        assert good.result().vector[0] > 0.9
        with pytest.raises(EmptyText):
            bad.result()


def test_a_text_is_remembered(queue: EmbeddingQueue, encoder: SlowEncoder) -> None:
    """Asking the same again costs no pass and gives the very same vector."""
    encoder.gate.set()
    first = queue.embed_text("red")
    passes = len(encoder.order)
    assert queue.embed_text("red") is first
    assert len(encoder.order) == passes


def test_a_failing_pass_is_heard_by_all_who_wait(
    queue: EmbeddingQueue, encoder: SlowEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever for a pass that broke, and the queue goes on afterwards."""
    encoder.gate.set()

    def broken(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(encoder, "embed_pixels", broken)
    with pytest.raises(MemoryError):
        queue.embed_pixels(pixels(1))
    monkeypatch.undo()
    assert queue.embed_pixels(pixels(1)).shape == (16,)


def test_a_closed_queue_refuses(encoder: SlowEncoder) -> None:
    """After the end nothing is accepted and nothing hangs."""
    encoder.gate.set()
    queue = EmbeddingQueue(encoder)
    queue.close()
    with pytest.raises(QueueFull):
        queue.embed_text("red")


def test_more_texts_than_the_queue_holds_are_embedded_in_turn(
    queue: EmbeddingQueue, encoder: SlowEncoder
) -> None:
    """A thousand labels are asked for in batches, repeats once, answered in the order given."""
    encoder.gate.set()
    texts = [f"red {number % 40}" for number in range(100)]
    embedded = queue.embed_texts(texts)
    for text, one in zip(texts, embedded, strict=True):
        np.testing.assert_array_equal(one.vector, encoder.embed_texts([text]).vectors[0])


def test_a_text_over_the_context_is_refused_where_that_is_chosen(tmp_path: Path) -> None:
    """The default cuts and says so; the other choice is an error that tells the limit."""
    encoder = ColourEncoder(tmp_path / "weights")
    long = "red " * (encoder.context_length + 1)
    with EmbeddingQueue(encoder) as cutting:
        assert cutting.embed_text(long).is_truncated
    with EmbeddingQueue(encoder, refuses_long_texts=True) as refusing:
        assert not refusing.embed_text("red").is_truncated
        with pytest.raises(TextOverContext) as raised:
            refusing.embed_texts(["red", long])
    assert raised.value.context_length == encoder.context_length
