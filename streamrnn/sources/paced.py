"""Samples that are all there at once, played as a stream: in real time, or as fast as they are taken."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

from streamrnn.chunk import NO_TIMES, Chunk, Ended, Item, Opened, Samples, Times
from streamrnn.sources import Source


class Paced(Protocol):
    """What a config says of the pace."""

    @property
    def pace(self) -> Literal["realtime", "fastest"]:
        """In real time, or as fast as it is taken."""

    @property
    def chunk(self) -> int:
        """Samples at a time."""


class PacedSource(Source):
    """One stream from blocks of samples of any size, which are cut into chunks."""

    def __init__(self, config: Paced, place: str, stream: str, rate: int, channels: int) -> None:
        super().__init__(place)
        self.stream, self.rate, self.channels = stream, rate, channels
        self.times: Times = NO_TIMES  # of the samples, if they carry any
        self.names: tuple[str, ...] = ()
        self._chunk, self._pace = config.chunk, config.pace

    @abstractmethod
    def blocks(self) -> Iterable[Samples]:
        """The samples `(time, channels)` in blocks, from the first to the last."""

    def items(self) -> Iterator[Item]:
        """The stream opened, its chunks, its end; a stop ends it early."""
        yield Opened(self.stream, self.rate, self.channels, timed=bool(len(self.times)), names=self.names)
        begun, sent = time.monotonic(), 0
        for block in self.blocks():
            for start in range(0, len(block), self._chunk):
                samples = block[start : start + self._chunk]
                if self._pace == "realtime":
                    # A chunk is there when its last sample has been heard, as from a microphone.
                    self.stopped.wait(max(0.0, begun + (sent + len(samples)) / self.rate - time.monotonic()))
                if self.stopped.is_set():
                    yield Ended(self.stream)
                    return
                yield Chunk(self.stream, sent, samples, self.times[sent : sent + len(samples)])
                sent += len(samples)
        yield Ended(self.stream)
