"""A producer of known content: it speaks the ingest wire, in real time or as fast as it is let, and goes on."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

import zmq
from content import CHUNK, Content, Produced
from tones import RATE

from streamrnn import ingest
from streamrnn.ingest import Credit, Data, End, Error, Start

_SILENT_S = 2.0  # a daemon that is there gives a sign each second: after this it is called anew, on another connection
_ASK_S = 0.3
_CONTEXT = zmq.Context()  # of all producers: each would have a thread of its own
_PATIENCE_S = 1.0  # of samples that may wait for credit, as in the buffer of a microphone
_GONE = ("unknown_stream", "closing", "refused", "duplicate_stream")


class Producer:
    """One stream, as a microphone brings it: what finds no credit when it is due is left out, and counted on.

    With `speed` 0 nothing is ever due and it waits for credit instead. `attend` does what can be done now.
    """

    def __init__(
        self, endpoint: str, stream: str, content: Content, samples: int, *, speed: float = 1.0, chunk: int = CHUNK
    ) -> None:
        self.endpoint, self.stream, self.content, self.speed = endpoint, stream, content, speed
        self.at, self.end = content.first, content.first + samples
        self.lost: list[tuple[int, int]] = []
        self.sent: deque[tuple[float, int]] = deque(maxlen=1000)  # when, and which sample was next
        self.calls = 0  # connections made
        self.ended = False
        self.errors: list[Error] = []
        self._chunk = chunk
        self._begun = time.monotonic()
        self._run = secrets.token_hex(8)
        self._connect()

    @property
    def produced(self) -> Produced:
        """What a judge must know."""
        return Produced(self.stream, self.content.first, self.at, self.lost)

    def attend(self) -> None:
        """Take the answers, and send what is due and allowed."""
        self._hear()
        now = time.monotonic()
        if now - self._heard > _SILENT_S or (self._refused and now - self._asked > _ASK_S):
            self._connect()
        while self.at < self.end and self._is_due(now):
            n = min(self._chunk, self.end - self.at)
            if self._open and self._credit >= n:
                self.put(self.at, n)
                self.sent.append((now, self.at))
                self._credit -= n
            elif self.speed and self._is_due(now - _PATIENCE_S):
                self._leave_out(n)
            else:
                return
            self.at += n
        if self.at >= self.end and self._open and not self._ending:
            self._send(ingest.encode_header(End(self.stream, self.at)))
            self._ending = True

    def put(self, start: int, n: int) -> None:
        """Samples `[start, start + n)`; harness tests put them in other orders."""
        payload = ingest.pack(self.content.samples(start, start + n), "int16")
        self._send(ingest.encode_header(Data(self.stream, start, n)), payload)

    def finish(self) -> None:
        """Produce no more than has been: what follows is the end."""
        self.end = self.at

    def close(self) -> None:
        """Be gone, without a word."""
        self._socket.close(0)

    def _is_due(self, now: float) -> bool:
        return not self.speed or self.due(self.at + self._chunk) <= now

    def due(self, sample: int) -> float:
        """When the samples before this one are there, in real time or by `speed`."""
        return self._begun + (sample - self.content.first) / RATE / self.speed

    def _leave_out(self, n: int) -> None:
        if self.lost and self.lost[-1][1] == self.at:
            self.lost[-1] = (self.lost[-1][0], self.at + n)
        else:
            self.lost.append((self.at, self.at + n))

    def _connect(self) -> None:
        """Call the daemon on a connection of its own, so that no answer to an older call is taken for one to this."""
        if self.calls:
            self._socket.close(0)
        self.calls += 1
        self._socket = _CONTEXT.socket(zmq.DEALER)
        self._socket.reconnect_ivl = 50
        self._socket.connect(self.endpoint)
        self._open = self._ending = self._refused = False
        self._credit = 0
        self._heard = self._asked = time.monotonic()
        self._send(ingest.encode_header(Start(self.stream, RATE, run=self._run, first=self.at)))

    def _send(self, *parts: bytes) -> None:
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return  # as samples on a cable that is cut: the daemon sees that they are missing

    def _hear(self) -> None:
        while self._socket.poll(0):
            answer = ingest.decode_answer(self._socket.recv_multipart())
            self._heard = time.monotonic()
            if isinstance(answer, Credit):
                self._credit += answer.n
                self._open = self._open or answer.n > 0
            elif isinstance(answer, End):
                self.ended = self.at >= self.end
            else:
                self.errors.append(answer)
                if answer.code in _GONE:
                    self._refused, self._open, self._credit = True, False, 0


class Playing:
    """Producers that are attended to on a thread of their own, until all have ended or it is left."""

    def __init__(self, producers: Sequence[Producer]) -> None:
        self.producers = list(producers)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def finish(self, seconds: float = 60.0) -> None:
        """Let each stream end where it is; wait until the daemon has confirmed it."""
        for each in self.producers:
            each.finish()
        self.until(lambda: all(each.ended for each in self.producers), seconds)

    def until(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something. Raises AssertionError if it does not come."""
        until = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < until, [(each.stream, each.at, each.errors[-3:]) for each in self.producers]
            assert self._thread.is_alive() or done()
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._stopped.is_set() and not all(each.ended for each in self.producers):
            for each in self.producers:
                if not each.ended:
                    each.attend()
            time.sleep(0.005)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()
        for each in self.producers:
            each.close()
