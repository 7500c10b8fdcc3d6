"""Standard input as a stream: raw PCM, such as `arecord -t raw` brings, or lines of numbers, as sensors write them."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from streamrnn.chunk import Chunk, Ended, Gap, Item, Note, Opened
from streamrnn.errors import DeviceError
from streamrnn.ingest import DTYPES, MOST_CHANNELS, unpack
from streamrnn.recognizer import Name
from streamrnn.registry import register
from streamrnn.sources import SensorConfig, Source
from streamrnn.sources.readings import LARGEST, SPOILED, Complaints, MalformedError, Row, of_line, reading, words_of

_DTYPES = {"s16le": "int16", "f32le": "float32"}
_READ = 1 << 15
_LOOK_S = 0.2  # how often a quiet input is left to see whether it is time to stop


@register("source", "streamrnn.sources.stdin:StdinSource")
class StdinConfig(SensorConfig, frozen=True, kw_only=True, tag="stdin"):
    """Interleaved samples without a header, or `lines`: each a sample of numbers between commas, semicolons or blanks.

    A first line of words names the channels. With a `grid` a line begins with its time.
    """

    rate: Annotated[int, Meta(ge=1, le=1_000_000)]
    channels: Annotated[int, Meta(ge=1, le=MOST_CHANNELS)] = 1
    format: Literal["s16le", "f32le", "lines"] = "s16le"
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
        self._complaints = Complaints()
        self._start = 0

    def items(self) -> Iterator[Item]:
        """The stream opened, chunks as they are read, its end; half a sample at the end is left out."""
        if self._config.format == "lines":
            yield from self._lines()
        else:
            yield from self._pcm(_DTYPES[self._config.format])
        yield Ended(self._config.stream)

    def _pcm(self, dtype: str) -> Iterator[Item]:
        config, start, rest = self._config, 0, b""
        size = config.channels * DTYPES[dtype].itemsize
        full_scale = 1.0 if dtype == "int16" else 0.0
        yield Opened(config.stream, config.rate, config.channels, full_scale=full_scale)
        for more in self._read():
            data = rest + more
            n = len(data) // size
            rest = data[n * size :]
            if n:
                yield Chunk(config.stream, start, unpack(data[: n * size], n, config.channels, dtype))
                start += n

    def _lines(self) -> Iterator[Item]:
        rest, opened = b"", False
        for data in self._read():
            *lines, rest = (rest + data).split(b"\n")
            lines = [line for line in lines if line.strip()]
            if len(rest) > LARGEST:
                lines, rest = [*lines, rest], b""
            if lines and not opened:
                opened = True
                names = _names(lines[0])
                yield self._opened(names)
                lines = lines[1:] if names else lines
            yield from self._rows(lines)
        if not opened:
            names = _names(rest)
            yield self._opened(names)
            rest = b"" if names else rest
        if rest.strip():
            yield from self._rows([rest])

    def _opened(self, names: tuple[str, ...]) -> Opened:
        """Raises DeviceError if other channels are named than declared."""
        config = self._config
        named = names[config.grid.timed :]
        if names and not len(named) == len(set(named)) == config.channels:
            declared = f"{config.channels} channels{' after the time' if config.grid.timed else ''}"
            raise DeviceError(f"stdin: its first line names {', '.join(named)}, and {declared} are declared; mend one")
        return Opened(config.stream, config.rate, config.channels, timed=config.grid.timed, names=named)

    def _rows(self, lines: list[bytes]) -> Iterator[Item]:
        """What lines bring: those between two that cannot be read are one chunk; one that cannot is a sample too."""
        rows: list[Row] = []
        for line in lines:
            try:
                row = of_line(line[:LARGEST], self._config.channels, self._config.grid)
                reading([row], self._config.channels, self._config.grid)
            except MalformedError as error:
                yield from self._chunk(rows)
                rows = []
                yield from (Note(self._config.stream, SPOILED, text) for text in self._complaints.told(str(error)))
                yield Gap(self._config.stream, self._start, self._start + 1, SPOILED)
                self._start += 1
            else:
                rows.append(row)
        yield from self._chunk(rows)

    def _chunk(self, rows: list[Row]) -> Iterator[Item]:
        if rows:
            made = reading(rows, self._config.channels, self._config.grid)
            yield Chunk(self._config.stream, self._start, made.samples, made.times)
            self._start += len(rows)

    def _read(self) -> Iterator[bytes]:
        while not self.stopped.is_set():
            if not select.select([self._fd], [], [], _LOOK_S)[0]:
                continue
            data = os.read(self._fd, _READ)
            if not data:
                return
            yield data


def _names(line: bytes) -> tuple[str, ...]:
    """The names in a line, if none of its words is a number."""
    words = [word.decode("utf-8", "replace") for word in words_of(line) if word]
    return () if any(_is_number(word) for word in words) else tuple(words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
