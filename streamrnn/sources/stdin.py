"""Raw PCM from standard input as a stream, such as `arecord -t raw | streamrnn serve ...` brings."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from streamrnn.chunk import Chunk, Ended, Item, Opened
from streamrnn.errors import DeviceError
from streamrnn.ingest import DTYPES, MOST_CHANNELS, unpack
from streamrnn.recognizer import Name
from streamrnn.registry import register
from streamrnn.sources import Source, SourceConfig

_DTYPES = {"s16le": "int16", "f32le": "float32"}
_READ = 1 << 15
_LOOK_S = 0.2  # how often a quiet input is left to see whether it is time to stop


@register("source", "streamrnn.sources.stdin:StdinSource")
class StdinConfig(SourceConfig, frozen=True, kw_only=True, tag="stdin"):
    """Interleaved samples without a header."""

    rate: Annotated[int, Meta(ge=1, le=1_000_000)]
    channels: Annotated[int, Meta(ge=1, le=MOST_CHANNELS)] = 1
    format: Literal["s16le", "f32le"] = "s16le"
    stream: Name = "stdin"


class StdinSource(Source):
    """Reads as much as is there; a writer that is faster than the engine waits in its pipe."""

    def __init__(self, config: StdinConfig) -> None:
        """Raises DeviceError if standard input is a terminal."""
        super().__init__("standard input")
        self._config = config
        if sys.stdin.isatty():
            raise DeviceError(
                "stdin: a terminal brings no samples; pipe raw PCM in, as `arecord -t raw | streamrnn ...`"
            )
        # The plain descriptor: a thread that is stuck in a buffered read would hold up the exit of the interpreter.
        self._fd = sys.stdin.fileno()

    def items(self) -> Iterator[Item]:
        """The stream opened, chunks as they are read, its end; half a sample at the end is left out."""
        config, dtype, start, rest = self._config, _DTYPES[self._config.format], 0, b""
        size = config.channels * DTYPES[dtype].itemsize
        yield Opened(config.stream, config.rate, config.channels)
        while not self.stopped.is_set():
            if not select.select([self._fd], [], [], _LOOK_S)[0]:
                continue
            data = os.read(self._fd, _READ)
            if not data:
                break
            data = rest + data
            n = len(data) // size
            rest = data[n * size :]
            if n:
                yield Chunk(config.stream, start, unpack(data[: n * size], n, config.channels, dtype))
                start += n
        yield Ended(config.stream)
