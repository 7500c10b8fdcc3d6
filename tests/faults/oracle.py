"""The oracle: a subscriber that records all that a daemon publishes, with the time at which it came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import zmq

from streamrnn import wire
from streamrnn.events import Heard
from streamrnn.wire import Hello, Message, Status

PATIENCE_S = 60.0  # for what comes in the end, on any machine; what is promised in time the judge asserts


@dataclass(frozen=True)
class Record:
    """A message, and when it came (seconds of the monotonic clock)."""

    at: float
    message: Message


class Oracle:
    """Hears everything, over restarts of the daemon; a message that cannot be read breaks it."""

    def __init__(self, endpoint: str, keeps: Callable[[Record], bool] = lambda record: True) -> None:
        """`keeps` sees every record and says whether it is wanted later."""
        self._keeps = keeps
        self.records: list[Record] = []
        self.failure = ""
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.rcvhwm = 0
        self._socket.reconnect_ivl = 20
        self._socket.subscribe(b"")
        self._socket.connect(endpoint)
        self._thread = threading.Thread(target=self._run)

    @property
    def messages(self) -> list[Message]:
        """All that came so far, in its order."""
        return [record.message for record in list(self.records)]

    def wait(self, enough: Callable[[Message], bool], seconds: float = PATIENCE_S, since: float = 0.0) -> Record:
        """The first message of its kind that came at `since` or later. Raises AssertionError if it does not come."""
        until, seen = time.monotonic() + seconds, 0
        with self._news:
            while True:
                for record in self.records[seen:]:
                    if record.at >= since and enough(record.message):
                        return record
                seen = len(self.records)
                assert not self.failure, self.failure
                left = until - time.monotonic()
                assert left > 0, f"nothing of the kind within {seconds:g} s among {seen} messages"
                self._news.wait(left)

    def greeted(self, seconds: float = PATIENCE_S, since: float = 0.0) -> Record:
        """The first hello: all that follows is heard."""
        return self.wait(lambda message: isinstance(message.body, Hello), seconds, since)

    def over(self, stream: str, seconds: float = PATIENCE_S, since: float = 0.0) -> Record:
        """The end of a stream."""
        return self.wait(
            lambda message: (
                message.stream == stream and isinstance(message.body, Status) and message.body.state != "opened"
            ),
            seconds,
            since,
        )

    def word(self, stream: str, sample: int, seconds: float = PATIENCE_S, since: float = 0.0) -> Record:
        """The first word of a stream that begins at `sample` or later."""
        return self.wait(
            lambda message: (
                message.stream == stream and isinstance(message.body, Heard) and message.body.start >= sample
            ),
            seconds,
            since,
        )

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._socket.poll(50):
                continue
            parts = self._socket.recv_multipart()
            at = time.monotonic()
            with self._news:
                try:
                    record = Record(at, wire.decode(parts))
                    if self._keeps(record):
                        self.records.append(record)
                except wire.WireError as error:
                    self.failure = f"{error}: {parts!r}"
                self._news.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close(0)
        self._context.term()
