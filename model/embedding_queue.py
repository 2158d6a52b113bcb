"""One queue in front of an encoder, so that work that arrives together shares a forward pass."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.encoder import Encoder
from model.errors import ModelError, QueueFull, TextOverContext

Item = TypeVar("Item")

RETRY_AFTER_SECONDS = 2
REMEMBERED_TEXTS = 4_096


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """`vector` (D,) is float32 of unit length; `is_truncated` tells that the text was cut."""

    vector: NDArray[np.float32]
    is_truncated: bool


class EmbeddingQueue:
    """Micro-batches for one encoder, run by one thread. Thread-safe.

    Texts go before pictures: a query waits for at most the batch in hand, however many uploads
    queue behind it. Nothing lingers for company: what arrives during a batch forms the next one.
    The vectors of the last texts are remembered, since paging asks the same text again.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        max_waiting: int = 512,
        max_batch: int = 32,
        refuses_long_texts: bool = False,
    ) -> None:
        """With `refuses_long_texts`, a text over the context length is an error instead of cut."""
        self.encoder = encoder
        self._refuses_long_texts = refuses_long_texts
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._texts: deque[tuple[str, Future[EmbeddedText]]] = deque()
        self._pixels: deque[tuple[NDArray[np.uint8], Future[NDArray[np.float32]]]] = deque()
        self._remembered: OrderedDict[str, EmbeddedText] = OrderedDict()
        self._lock = threading.Lock()
        # The first wakes the thread that embeds, the second those who wait for room.
        self._condition = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"embed-{encoder.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """How many texts and pictures have not been taken up yet."""
        return len(self._texts) + len(self._pixels)

    def embed_text(self, text: str) -> EmbeddedText:
        """The embedding of one text; waits for it. Raises TextError, QueueFull."""
        return self.embed_texts([text])[0]

    def embed_texts(self, texts: Sequence[str]) -> list[EmbeddedText]:
        """The embedding of each text; waits for all. Raises TextError, QueueFull.

        However many there are, only a batch of them waits in the queue at a time.
        """
        distinct = list(dict.fromkeys(texts))
        embedded: dict[str, EmbeddedText] = {}
        for start in range(0, len(distinct), self._max_batch):
            embedded |= self._embed_some(distinct[start : start + self._max_batch])
        if self._refuses_long_texts and any(text.is_truncated for text in embedded.values()):
            raise TextOverContext(self.encoder.context_length)
        return [embedded[text] for text in texts]

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embedding (D,) of one prepared picture; waits for it. Raises QueueFull."""
        return self.submit_pixels(pixels).result()

    def submit_pixels(
        self, pixels: NDArray[np.uint8], *, wait_seconds: float = 0
    ) -> Future[NDArray[np.float32]]:
        """The embedding (D,) of one prepared picture, to come.

        A full queue is waited for up to `wait_seconds`, for work that nobody waits for. Raises
        QueueFull.
        """
        future: Future[NDArray[np.float32]] = Future()
        with self._lock:
            if wait_seconds:
                self._room.wait_for(self._may_take_one, wait_seconds)
            self._check_room(1)
            self._pixels.append((pixels, future))
            self._condition.notify()
        return future

    def close(self) -> None:
        """Finish what waits, then end the thread. What comes later is refused."""
        with self._lock:
            self._is_closed = True
            self._condition.notify()
            self._room.notify_all()
        self._thread.join()

    def _embed_some(self, texts: Sequence[str]) -> dict[str, EmbeddedText]:
        with self._condition:
            known = {text: self._remembered[text] for text in texts if text in self._remembered}
            for text in known:
                self._remembered.move_to_end(text)
            fresh = {text: Future[EmbeddedText]() for text in texts if text not in known}
            self._check_room(len(fresh))
            if fresh:
                self._texts.extend(fresh.items())
                self._condition.notify()
        return known | {text: future.result() for text, future in fresh.items()}

    def _may_take_one(self) -> bool:
        return self._is_closed or self.waiting < self._max_waiting

    def _check_room(self, size: int) -> None:
        if size and (self._is_closed or self.waiting + size > self._max_waiting):
            raise QueueFull(self.waiting, RETRY_AFTER_SECONDS)

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._is_closed or self.waiting)
                if not self.waiting:
                    return
                texts = _take(self._texts, self._max_batch)
                pixels = [] if texts else _take(self._pixels, self._max_batch)
                self._room.notify_all()
            if texts:
                self._answer_texts(texts)
            else:
                self._answer_pixels(pixels)

    def _answer_texts(self, batch: list[tuple[str, Future[EmbeddedText]]]) -> None:
        try:
            embedded = self.encoder.embed_texts([text for text, _ in batch])
        except ModelError as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # One bad text must not fail the others that happened to arrive with it.
            for item in batch:
                self._answer_texts([item])
            return
        except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
            for _, future in batch:
                future.set_exception(error)
            return
        for (text, future), vector, is_truncated in zip(
            batch, embedded.vectors, embedded.truncated, strict=True
        ):
            answer = EmbeddedText(vector, is_truncated)
            with self._condition:
                self._remembered[text] = answer
                if len(self._remembered) > REMEMBERED_TEXTS:
                    self._remembered.popitem(last=False)
            future.set_result(answer)

    def _answer_pixels(
        self, batch: list[tuple[NDArray[np.uint8], Future[NDArray[np.float32]]]]
    ) -> None:
        try:
            vectors = self.encoder.embed_pixels([pixels for pixels, _ in batch])
        except BaseException as error:  # noqa: BLE001  (whoever waits must hear of it, whatever it is)
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), vector in zip(batch, vectors, strict=True):
            future.set_result(vector)


def _take(waiting: deque[Item], at_most: int) -> list[Item]:
    return [waiting.popleft() for _ in range(min(at_most, len(waiting)))]
