"""A bounded queue between the engine's thread and threads that deliver: the oldest makes room, and is counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from streamrnn.errors import ConfigError, did_you_mean
from streamrnn.events import KINDS
from streamrnn.wire import Message


def check_kinds(kinds: Sequence[str]) -> None:
    """Raises ConfigError for a kind that no message has."""
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"kinds: {kind!r} is no kind of message; {did_you_mean(kind, KINDS)}")


class Waiting:
    """Messages that wait to be delivered, in order; `put` never waits."""

    def __init__(self, room: int) -> None:
        self.lost = 0  # messages that were not delivered
        self.reason = ""  # why the last of them was not
        self._room = room
        self._items: deque[tuple[Message, bytes]] = deque()
        self._busy = 0  # taken and not done
        self._closed = False
        self._changed = threading.Condition()

    def put(self, message: Message, text: bytes) -> None:
        """A message and its JSON, behind the others."""
        with self._changed:
            if self._closed:
                return
            if len(self._items) >= self._room:
                self._items.popleft()
                self._lose(f"more than {self._room} wait")
            self._items.append((message, text))
            self._changed.notify()

    @property
    def over(self) -> bool:
        """Whether there will be no more."""
        with self._changed:
            return self._closed and not self._items

    def take(self, seconds: float = threading.TIMEOUT_MAX) -> list[tuple[Message, bytes]]:
        """Wait for the next, which is then to be `done`; empty if none comes in time, or when it is `over`."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, seconds)
            if not self._items:
                return []
            self._busy += 1
            return [self._items.popleft()]

    def done(self, trouble: str = "") -> None:
        """One that was taken is delivered, or is not because of `trouble`."""
        with self._changed:
            self._busy -= 1
            if trouble:
                self._lose(trouble)
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Take no more in, and wait for so many seconds until all is done; what is not, is lost."""
        until = time.monotonic() + seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._items and not self._busy, max(0.0, until - time.monotonic()))
            left = len(self._items) + self._busy
            self._items.clear()
            if left:
                self._lose("the daemon was stopped", left)

    def _lose(self, reason: str, messages: int = 1) -> None:
        self.lost += messages
        self.reason = reason
