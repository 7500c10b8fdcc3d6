"""What a daemon says of itself on standard error: lines for people or programs, never so many that they do harm.

A line holds text and numbers; samples have no way into it. Lines are written by a thread of their own: a reader of
standard error that has stalled must not hold up the engine.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from streamrnn.events import Lost
from streamrnn.sinks import Sink
from streamrnn.sinks.writer import Writer
from streamrnn.wire import Message, Status

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "keyvalue", "json"]
Field = str | int | float

LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
# Of a status, where it is not debug.
_STATES: dict[str, Level] = {
    "failed": "warning",
    "refused": "warning",
    "offline": "warning",
    "silent": "warning",
    "malformed": "warning",
    "online": "info",
    "heard": "info",
}
LINES, WINDOW_S = 20, 10.0  # of one kind; what comes beyond is counted
_LONGEST = 500  # characters of a text that may come from anywhere


@dataclass(slots=True)
class _Window:
    """Lines of one kind since `begun`."""

    begun: float
    level: Level
    told: int = 0
    left_out: int = 0


class Log:
    """Lines of several kinds: of each only so many in a window of time, and then how many were left out."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        form: Format = "text",
        level: Level = "info",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`write` takes a whole line; `clock` is in seconds."""
        self._write = write
        self._form = form
        self._least = LEVELS.index(level)
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def set_level(self, level: Level) -> None:
        """Say from now on what is of this level or above."""
        self._least = LEVELS.index(level)

    def say(self, level: Level, kind: str, text: str, **fields: Field) -> None:
        """A line, from any thread; `kind` is one of few words, by which lines are counted."""
        if LEVELS.index(level) < self._least:
            return
        with self._lock:
            now = self._clock()
            window = self._windows.setdefault(kind, _Window(now, level))
            self._turn(kind, window, now)
            if window.told < LINES:
                window.told += 1
                self._line(level, kind, text, fields)
            else:
                window.left_out += 1

    def tick(self) -> None:
        """Tell what was left out in windows that are over."""
        with self._lock:
            now = self._clock()
            for kind, window in self._windows.items():
                self._turn(kind, window, now)

    def finish(self) -> None:
        """Tell what was left out up to now."""
        with self._lock:
            for kind, window in self._windows.items():
                self._turn(kind, window, window.begun + WINDOW_S)

    def _turn(self, kind: str, window: _Window, now: float) -> None:
        if now - window.begun < WINDOW_S:
            return
        left_out, window.begun, window.told, window.left_out = window.left_out, now, 0, 0
        if left_out:
            self._line(window.level, kind, f"{left_out} more lines like this were left out", {"suppressed": left_out})

    def _line(self, level: Level, kind: str, text: str, fields: dict[str, Field]) -> None:
        text = tame(text)
        if self._form == "text":
            self._write(f"streamrnn serve: {text}\n".encode())
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        line: dict[str, Field] = {"time": stamp, "level": level, "kind": kind, "text": text}
        line |= {name: tame(value) if isinstance(value, str) else value for name, value in fields.items()}
        if self._form == "json":
            self._write(msgspec.json.encode(line) + b"\n")
            return
        pairs = [f"{name}={_quoted(value) if isinstance(value, str) else value}" for name, value in line.items()]
        self._write(" ".join(pairs).encode() + b"\n")


class LogSink(Sink):
    """Logs what is published of streams and losses: what is announced and what is logged are the same."""

    place = "standard error"

    def __init__(self, log: Log) -> None:
        self._log = log

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """A line for a gap, or for what became of a stream."""
        body, stream = message.body, message.stream
        if isinstance(body, Lost):
            text = f"{stream}: {body.end - body.start} samples lost at {body.start}: {body.reason}"
            bundle = message.bundle.name
            self._log.say(
                "warning", "gap", text, stream=stream, bundle=bundle, start=body.start, end=body.end, rate=body.rate
            )
        elif isinstance(body, Status):
            level: Level = _STATES.get(body.state, "debug")
            self._log.say(level, body.state, f"{stream}: {body.state} {body.text}".rstrip(), stream=stream)

    def attend(self) -> bool:
        """Tell what was left out, if it is time."""
        self._log.tick()
        return False

    def close(self, seconds: float) -> str:
        """Whoever made the log closes it."""
        return ""


class StandardError:
    """Standard error, as a log writes to it."""

    def __init__(self) -> None:
        self._descriptor = os.dup((sys.__stderr__ or sys.stderr).fileno())
        self._writer = Writer(self._descriptor)
        self.write = self._writer.write

    def close(self, seconds: float) -> None:
        """Let out what waits, for at most so many seconds."""
        self._writer.close(seconds)


def stacks_on_request() -> None:
    """SIGUSR1 prints on standard error where each thread stands, also when the interpreter does nothing any more."""
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, file=sys.__stderr__ or sys.stderr, all_threads=True)


def tame(text: str) -> str:
    """A text that may come from anywhere, as one line of bounded length without control characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: _LONGEST + 1])
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _quoted(text: str) -> str:
    if text and all(letter.isalnum() or letter in "_.:/+-" for letter in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
