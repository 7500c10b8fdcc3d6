"""A producer that keeps what it sent: a pusher as users have it, in real time, over any number of daemons."""

from __future__ import annotations

import threading
import time
from typing import Self

from content import CHUNK, Content, Produced
from tones import RATE

from streamrnn.client import Pusher


class Resender:
    """Pushes known content on a thread of its own until it is told to finish."""

    def __init__(self, endpoint: str, stream: str, content: Content, *, speed: float = 1.0) -> None:
        assert content.first == 0
        self.stream, self.content, self.at = stream, content, 0
        self._endpoint, self._speed = endpoint, speed
        self._finishing = threading.Event()
        self._failed: list[Exception] = []
        self._thread = threading.Thread(target=self._run)

    @property
    def produced(self) -> Produced:
        """What a judge must know: nothing is ever left out."""
        return Produced(self.stream, 0, self.at, [])

    def finish(self, seconds: float = 30.0) -> None:
        """Let the stream end where it is; wait until the daemon has confirmed it."""
        self._finishing.set()
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        assert not self._failed

    def _run(self) -> None:
        try:
            pusher = Pusher(self._endpoint, stream=self.stream, rate=RATE, dtype="int16", buffer_s=120.0, timeout=60.0)
            with pusher:
                while not self._finishing.is_set():
                    pusher.push(self.content.samples(self.at, self.at + CHUNK))
                    self.at += CHUNK
                    time.sleep(CHUNK / RATE / self._speed)
        except Exception as error:
            self._failed.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._finishing.set()
        self._thread.join()
