"""Keeps one worker running: starts it, hears what it reports, ends it when it hangs, and starts it again."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamrnn.cores import available
from streamrnn.workers import orders
from streamrnn.workers.orders import Ready, Report, Serve, Turn

_LOOK_S = 0.25  # how often a worker that is to answer is looked after
_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0  # before it is started again, twice as long each time
_WELL_S = 10.0  # one that ended after this had run well, and is started again at once
_START_S = 60.0  # in which it has to be ready
_JOIN_S = 0.3
_AT_ONCE = 1 << 18  # bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker has ended, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class News:
    """What came of a worker, by its number, and which of those that were started there it is, counted from 1."""

    number: int
    start: int
    what: Ready | Report | Gone


class Keeper:
    """A worker's process and the thread that waits for what it says; `send` is for the engine's thread."""

    def __init__(self, number: int, stall_s: float, tell: Callable[[News], None]) -> None:
        """`tell` is called by the thread; a worker that is to answer and says nothing for `stall_s` is ended."""
        self.number = number
        self._stall_s, self._tell = stall_s, tell
        self._serve = b""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._starts = 0
        self._ready: list[tuple[int, socket.socket]] = []  # the worker that takes orders, and its start
        self._asked_at = 0.0  # when it was last asked, or said that it is at it; 0.0 if it has answered
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"worker {number}", daemon=True)

    def start(self, serve: Serve) -> None:
        """Start a worker with these bundles."""
        self.give(serve)
        self._thread.start()

    def give(self, serve: Serve) -> None:
        """The bundles of the workers that are started from now on."""
        self._serve = orders.encode(serve)

    def send(self, message: Serve | Turn, start: int) -> None:
        """To the worker of this start, if it is there yet and has answered; one that does not take it is ended."""
        for each in [each for there, each in self._ready if there == start]:
            self._asked_at = time.monotonic()
            try:
                each.sendall(orders.encode(message))
            except OSError:
                self._kill()

    def end(self) -> None:
        """End the worker for good."""
        self._closing.set()
        self._kill()

    def join(self) -> None:
        """Wait a moment until it has ended."""
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.is_set():
            begun = time.monotonic()
            self._starts += 1
            try:
                reason = self._live()
            except OSError as error:
                reason = f"could not be started: {error.strerror or error}"
            if self._closing.is_set():
                return
            self._tell(News(self.number, self._starts, Gone(reason)))
            well = time.monotonic() - begun > _WELL_S
            pause = 0.0 if well else min(max(2 * pause, _PAUSE_S), _LONGEST_PAUSE_S)
            self._closing.wait(pause)

    def _live(self) -> str:
        """A worker from its start to its end; why it ended. Raises OSError if it cannot be started."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                # It ends with its standard input, whose other end is ours alone: however we end, so does it.
                process = subprocess.Popen(
                    [sys.executable, "-m", "streamrnn.workers.worker", str(theirs.fileno())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            with process:
                self._processes = [process]
                try:
                    reason = self._listen(ours)
                finally:
                    self._ready = []
                    process.kill()
            self._processes = []
        return reason or _how(process.returncode)

    def _listen(self, ours: socket.socket) -> str:
        """Tell what it reports until it ends; why, if that was not by itself."""
        self._asked_at, patience = time.monotonic(), _START_S
        ours.settimeout(_LOOK_S)
        arrived = orders.Arrived()
        # Sending has a patience of its own.
        with ours.dup() as sender, contextlib.suppress(ConnectionError):
            sender.settimeout(self._stall_s)
            sender.sendall(self._serve)
            while not self._closing.is_set():
                try:
                    data = ours.recv(_AT_ONCE)
                except TimeoutError:
                    if self._asked_at and time.monotonic() - self._asked_at > patience:
                        return f"said nothing for {patience:g} s"
                    continue
                if not data:
                    return ""
                for each in arrived.whole(data):
                    report = orders.report(each)
                    goes_on = isinstance(report, Report) and report.more
                    self._asked_at = time.monotonic() if goes_on else 0.0
                    self._ready, patience = [(self._starts, sender)], self._stall_s
                    self._tell(News(self.number, self._starts, report))
        return ""

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()


def _how(code: int) -> str:
    """How a process ended, for people."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def cores(workers: int) -> list[int]:
    """The core of each worker, -1 for any: where there are too few, and where the system does not tell."""
    there = available()
    return there[:workers] if workers <= len(there) else [-1] * workers
