"""Messages as JSON lines, in a file or on standard output."""

from __future__ import annotations

import os
import sys

from streamrnn.errors import DeviceError
from streamrnn.registry import PlugConfig, register
from streamrnn.sinks import PULSE
from streamrnn.sinks.writer import LineSink, Writer
from streamrnn.wire import Message


@register("sink", "streamrnn.sinks.jsonl:JsonlSink")
class JsonlConfig(PlugConfig, frozen=True, kw_only=True, tag="jsonl"):
    """Append each message to the file `path`, "-" for standard output, as the JSON of the wire."""

    path: str = "-"


class JsonlSink(LineSink):
    """One line a message; heartbeats and hellos are left out."""

    def __init__(self, config: JsonlConfig) -> None:
        """Raises DeviceError if the file cannot be written."""
        self.place = "standard output" if config.path == "-" else config.path
        try:
            # A descriptor of our own, so that ours is the only one to close.
            self._descriptor = (
                os.dup(sys.stdout.fileno())
                if config.path == "-"
                else os.open(config.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            )
        except OSError as error:
            raise DeviceError(f"jsonl {config.path}: {error.strerror or error}; choose another path") from None
        self._writer = Writer(self._descriptor)

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """Append the line."""
        if message.kind not in PULSE:
            self._writer.write(parts[1] + b"\n")
