"""Lines written by a thread of their own: a full disk or a reader that has stalled must not hold up the engine."""

from __future__ import annotations

import os
import queue
import threading

from streamrnn.sinks import Sink

_ROOM = 10_000  # lines that may wait


class Writer:
    """Writes lines to a descriptor in order; what finds no room or cannot be written is counted."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.lost = 0  # lines, so far
        self.reason = ""  # why the last of them
        self._waiting: queue.Queue[bytes] = queue.Queue(_ROOM)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Put a line, with its newline, behind the others; never waits."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._lose("nobody reads them")

    def close(self, seconds: float) -> str:
        """Wait until all is written, for at most so many seconds; what was lost and why, "" if nothing."""
        self._closing.set()
        if not self._waiting.full():
            self._waiting.put(b"")  # wakes the thread
        self._thread.join(seconds)
        left = self._waiting.qsize()
        if self._thread.is_alive():
            self._lose("nobody reads them", max(1, left))
        return f"{self.lost} lines lost: {self.reason}" if self.lost else ""

    def _run(self) -> None:
        torn = b""
        while not (self._closing.is_set() and self._waiting.empty()):
            line = self._waiting.get()
            data = torn + line if line else b""
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
                    torn = b""
            except OSError as error:
                # Part of the line may stand there: the next one that can be written begins on a new line.
                torn = b"\n"
                self._lose(error.strerror or str(error))

    def _lose(self, reason: str, lines: int = 1) -> None:
        self.lost += lines
        self.reason = reason


class LineSink(Sink):
    """A sink that writes lines: what it loses is what its writer could not write."""

    _writer: Writer

    @property
    def lost(self) -> int:
        """Lines that could not be written."""
        return self._writer.lost

    @property
    def loss(self) -> str:
        """Why."""
        return self._writer.reason

    def close(self, seconds: float) -> str:
        """Write what waits."""
        return self._writer.close(seconds)
