"""A program run for each message of some kinds, with the message on its standard input."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from typing import Annotated

from msgspec import Meta

from streamrnn.errors import ConfigError, DeviceError
from streamrnn.events import Heard
from streamrnn.recognizer import Count, Positive
from streamrnn.registry import PlugConfig, register
from streamrnn.sinks import Sink
from streamrnn.sinks.waiting import Waiting, check_kinds
from streamrnn.wire import Message


@register("sink", "streamrnn.sinks.command:CommandSink")
class CommandConfig(PlugConfig, frozen=True, kw_only=True, tag="command"):
    """Run the program and its arguments, `argv`, for each message of these `kinds` and `labels` (none named: all).

    No shell comes between: what was heard stands as JSON on standard input, never in an argument. At most `at_once` run
    at the same time, for at most `timeout_s`, and `queue` messages wait; what is beyond is lost, counted and announced.
    What a shadow hears runs nothing, unless `shadows` is true.
    """

    argv: tuple[str, ...]
    kinds: tuple[str, ...] = ("detection", "segment", "alarm")
    labels: tuple[str, ...] = ()
    at_once: Annotated[int, Meta(ge=1, le=64)] = 4
    timeout_s: Positive = 10.0
    queue: Count = 100
    shadows: bool = False

    def __post_init__(self) -> None:
        check_kinds(self.kinds)
        if not self.argv or not self.argv[0]:
            raise ConfigError("argv: empty; name a program and its arguments, as [notify-send, heard]")


class CommandSink(Sink):
    """Each of a few threads runs one program at a time."""

    def __init__(self, config: CommandConfig) -> None:
        """Raises DeviceError if there is no such program."""
        program = shutil.which(config.argv[0])
        if program is None:
            raise DeviceError(f"command {config.argv[0]}: no such program; give its path, and see that it may be run")
        self.place = f"command {config.argv[0]}"
        self._argv = [program, *config.argv[1:]]
        self._config = config
        self._waiting = Waiting(config.queue)
        self._running: set[int] = set()
        self._lock = threading.Lock()
        for _ in range(config.at_once):
            threading.Thread(target=self._work, name="command", daemon=True).start()

    @property
    def lost(self) -> int:
        """Messages whose program failed, or was never run."""
        return self._waiting.lost

    @property
    def loss(self) -> str:
        """Why."""
        return self._waiting.reason

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """Let the program be run for it, if it is asked for."""
        config, body = self._config, message.body
        if message.bundle.shadow and not config.shadows:
            return
        wanted = not config.labels or (isinstance(body, Heard) and body.label in config.labels)
        if message.kind in config.kinds and wanted:
            self._waiting.put(message, parts[1])

    def close(self, seconds: float) -> str:
        """Let what waits be run for so long, and then end what runs."""
        self._waiting.close(seconds)
        with self._lock:
            for group in self._running:
                _kill(group)
        return f"{self.lost} messages lost: {self.loss}" if self.lost else ""

    def _work(self) -> None:
        while taken := self._waiting.take():
            self._waiting.done(self._run(taken[0][1] + b"\n"))

    def _run(self, text: bytes) -> str:
        """Run it once; what went wrong, "" if nothing."""
        try:
            # Its standard error is the daemon's, which the log has. A group of its own, so that its children end too.
            process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            return error.strerror or str(error)
        with self._lock:
            self._running.add(process.pid)
        try:
            process.communicate(text, self._config.timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            process.wait()
            return f"did not end within {self._config.timeout_s:g} s"
        finally:
            with self._lock:
                self._running.discard(process.pid)
        code = process.returncode
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        return f"exit code {code}" if code else ""


def _kill(group: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)
