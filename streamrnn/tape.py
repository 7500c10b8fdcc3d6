"""A tape: samples of one unbroken run that wait until every reader has read them, each at its own place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np

from streamrnn.chunk import Samples

_SMALLEST = 256


@cache
def _nothing(channels: int) -> Samples:
    """The block of every tape on which nothing is."""
    return np.empty((0, channels), np.float32)


class Tape:
    """Appends and reads cost what they carry, whatever waits; memory is at most four times what waits."""

    __slots__ = (
        "_block",
        "_first",
        "_head",
        "_places",
        "end",
    )

    def __init__(self, channels: int, readers: Iterable[str]) -> None:
        self._block: Samples = _nothing(channels)
        self._head = 0  # where in the block the first sample that waits lies
        self._first = 0  # which sample of the run that is
        self._places = dict.fromkeys(readers, 0)
        self.end = 0  # samples appended since the run began

    def append(self, samples: Samples) -> None:
        """Put samples `(time, channels)` behind the last."""
        waiting = self.end - self._first
        if self._head + waiting + len(samples) > len(self._block):
            self._make_room(waiting, len(samples))
        at = self._head + waiting
        self._block[at : at + len(samples)] = samples
        self.end += len(samples)

    def read(self, reader: str, out: Samples) -> None:
        """Copy the reader's next samples over `out` `(time, channels)`, zeros behind the last; go on by all of it."""
        place = self._places[reader]
        count = max(0, min(len(out), self.end - place))
        at = self._head + place - self._first
        out[:count] = self._block[at : at + count]
        if count < len(out):
            out[count:] = 0.0
        self._places[reader] = place + len(out)
        self._forget(min(self.end, *self._places.values()))

    def join(self, reader: str) -> None:
        """Another reader, from the end on."""
        self._places[reader] = self.end

    def leave(self, reader: str) -> bool:
        """A reader less; whether there are others."""
        del self._places[reader]
        self._forget(min([self.end, *self._places.values()]))
        return bool(self._places)

    def skip(self, reader: str, samples: int) -> None:
        """Let the reader go on without reading."""
        self._places[reader] += samples
        self._forget(min(self.end, *self._places.values()))

    def place(self, reader: str) -> int:
        """The sample of the run that the reader reads next; beyond `end` where it was given zeros."""
        return self._places[reader]

    def waiting(self) -> Samples:
        """A copy of what not every reader has read, `(time, channels)`: the last samples of the run."""
        kept: Samples = self._block[self._head : self._head + self.end - self._first].copy()
        return kept

    def resume(self, end: int, waiting: Samples, places: Mapping[str, int]) -> None:
        """Go on where another tape of this run was: its `end`, what waited on it, and the place of each reader."""
        self.end = self._first = end - len(waiting)
        self.append(waiting)
        self._places = dict(places)
        self._forget(min(self.end, *self._places.values()))

    def _forget(self, first: int) -> None:
        self._head += first - self._first
        self._first = first
        if first == self.end:
            self._head = 0
            # Of a thousand streams few wait at a time, and the next chunk has this memory of another's.
            self._block = _nothing(self._block.shape[1])

    def _make_room(self, waiting: int, more: int) -> None:
        # Twice what waits, so that as much can be appended again before anything is moved.
        capacity = max(_SMALLEST, 1 << (2 * waiting + more - 1).bit_length())
        kept = self._block[self._head : self._head + waiting]
        block = self._block if capacity == len(self._block) else np.empty((capacity, kept.shape[1]), np.float32)
        block[:waiting] = kept
        self._block, self._head = block, 0
