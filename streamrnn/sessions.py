"""What the engine remembers of a stream: the border that checks its samples, its epochs, and who listens to it.

A `Stretch` is one unbroken run of samples, an epoch: memory lives in it and ends with it. Each bundle that listens to
the stream is a `Listener` with a queue of what is to do, in order: stretches to read and gaps to tell.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamrnn.chunk import Samples
from streamrnn.errors import StreamError
from streamrnn.events import Lost
from streamrnn.resampling import Resampler, open_resampler
from streamrnn.tape import Tape

# Energies are squares: beyond this float32 overflows in the features and a hidden state may become NaN for ever.
LARGEST = 1e15
NOT_FINITE = "not finite"
OVERLAP = "overlap"
MISSING = "missing"
# A run of lost samples is told when it is over, or in pieces of as long as this.
_TOLD_AFTER_S = 10


@dataclass(frozen=True, slots=True)
class Reader:
    """A bundle as a stretch sees it: what it takes."""

    bundle: str
    rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Told:
    """A gap that is to be told when all before it has been."""

    epoch: int
    sample: int
    lost: Lost


class Stretch:
    """One unbroken run of a stream's samples, resampled once for each rate that is listened to."""

    def __init__(self, epoch: int, rate: int, channels: int, readers: Sequence[Reader]) -> None:
        self.epoch = epoch
        self.start = 0  # source sample with which it begins
        self.end = 0  # source sample just past its last
        self.closed = False
        self._tapes: dict[tuple[int, int], tuple[Resampler, Tape]] = {}
        for reader in readers:
            key = (reader.rate, reader.channels)
            names = [other.bundle for other in readers if (other.rate, other.channels) == key]
            if key not in self._tapes:
                resampler = open_resampler(rate, reader.rate, reader.channels)
                self._tapes[key] = (resampler, Tape(reader.channels, names))

    @property
    def begun(self) -> bool:
        """Whether it has any samples."""
        return self.end > self.start

    def tape(self, reader: Reader) -> Tape:
        """The samples as this reader takes them."""
        return self._tapes[reader.rate, reader.channels][1]

    def add(self, samples: Samples) -> None:
        """The samples that come next, `(time, channels)` of the source."""
        self.end += len(samples)
        for (_, channels), (resampler, tape) in self._tapes.items():
            tape.append(resampler.push(mixed(samples, channels)))

    def close(self) -> None:
        """No more will come: what the resamplers hold goes on the tapes."""
        self.closed = True
        for resampler, tape in self._tapes.values():
            tape.append(resampler.finish())


@dataclass(slots=True)
class Reading:
    """How far a listener is in a stretch, and what it has to tell on the way: `(whole frames before it, gap)`."""

    stretch: Stretch
    frames: int = 0
    remarks: deque[tuple[int, Told]] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Listener:
    """One bundle on one stream: its row in the bundle's tables and what it has to do, in order."""

    session: Session
    reader: Reader
    hop: int
    row: int
    todo: deque[Reading | Told] = field(default_factory=deque)
    queued: bool = False
    left: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """Samples of a stream since it was opened: heard, lost (never came or not finite) and duplicates (came twice)."""

    expected: int
    epoch: int
    heard: int
    lost: int
    duplicates: int


class Session:
    """A stream from open to finish: each sample is checked here, once, and goes to all that listen."""

    def __init__(self, stream: str, rate: int, channels: int, readers: Sequence[Reader], epoch: int) -> None:
        """Raises StreamError if the stream cannot be resampled for a reader."""
        self.stream, self.rate, self.channels = stream, rate, channels
        self.listeners: list[Listener] = []
        self.ended = False
        self._readers = tuple(readers)
        self._current = Stretch(epoch, rate, channels, self._readers)
        self._expected = 0
        self._heard, self._lost, self._duplicates = 0, 0, 0
        self._untold: list[Lost] = []
        self._in_gap = False
        self._overlapping = False

    @property
    def counts(self) -> Counts:
        """What has come of this stream so far."""
        return Counts(self._expected, self._current.epoch, self._heard, self._lost, self._duplicates)

    def push(self, start: int, samples: NDArray[np.floating]) -> None:
        """Samples `(time, channels)` from `start` on. Raises StreamError if they are not of this stream's make."""
        samples = self._checked(start, samples)
        end = start + len(samples)
        if start < self._expected:
            self._repeat(start, min(end, self._expected))
            samples = samples[self._expected - start :]
            start = self._expected
            if not len(samples):
                return
        self._overlapping = False
        if start > self._expected:
            self._miss(Lost(self._expected, start, self.rate, MISSING))
        with np.errstate(invalid="ignore"):
            good: NDArray[np.bool_] = np.all(np.abs(samples) <= LARGEST, axis=1)
        if good.all():
            self._hear(samples)
            return
        turns = [0, *(int(turn) for turn in np.flatnonzero(good[1:] != good[:-1]) + 1), len(samples)]
        for first, last in itertools.pairwise(turns):
            if good[first]:
                self._hear(samples[first:last])
            else:
                self._spoil(start + last)

    def lose(self, end: int, reason: str) -> None:
        """The samples up to `end` never came. Those before `end` that did come are kept: nothing is lost then."""
        if end > self._expected:
            self._miss(Lost(self._expected, end, self.rate, reason))

    def finish(self) -> None:
        """No more samples will come."""
        self.ended = True
        if self._current.begun:
            self._current.close()
        self._tell()

    def _checked(self, start: int, samples: NDArray[np.floating]) -> Samples:
        if samples.ndim != 2 or samples.shape[1] != self.channels:
            raise StreamError(
                f"{self.stream}: samples have shape {samples.shape}, not (time, {self.channels}) as it was opened with"
            )
        if not len(samples):
            raise StreamError(f"{self.stream}: no samples were pushed; leave empty chunks out")
        if start < 0:
            raise StreamError(f"{self.stream}: chunk starts at {start}; samples are counted from 0")
        if samples.dtype.kind != "f":
            raise StreamError(f"{self.stream}: samples are {samples.dtype}, not float32; scale them to [-1, 1] first")
        with np.errstate(over="ignore"):
            # No copy is needed: tapes and resamplers take their own, so the caller may fill its array again.
            return np.asarray(samples, np.float32)

    def _hear(self, samples: Samples) -> None:
        if not self._current.begun:
            self._tell()
            self._current.start = self._current.end = self._expected
            for listener in self.listeners:
                listener.todo.append(Reading(self._current))
        self._in_gap = False
        self._current.add(samples)
        self._expected += len(samples)
        self._heard += len(samples)

    def _spoil(self, end: int) -> None:
        """Samples up to `end` came and cannot be heard; in pieces that are the same for any chunking."""
        longest = _TOLD_AFTER_S * self.rate
        while self._expected < end:
            open_piece = self._untold[-1] if self._untold and self._untold[-1].reason == NOT_FINITE else None
            begun = open_piece.start if open_piece else self._expected
            self._miss(Lost(self._expected, min(end, begun + longest), self.rate, NOT_FINITE))

    def _miss(self, lost: Lost) -> None:
        """A piece is lost: memory ends here. Pieces for one reason are told as one."""
        if not self._in_gap:
            if self._current.begun:
                self._current.close()
            self._current = Stretch(self._current.epoch + 1, self.rate, self.channels, self._readers)
            self._in_gap = True
        last = self._untold[-1] if self._untold else None
        if last is not None and last.reason == lost.reason:
            self._untold[-1] = Lost(last.start, lost.end, lost.rate, lost.reason)
        else:
            self._untold.append(lost)
        self._expected = lost.end
        self._lost += lost.end - lost.start
        if lost.end - self._untold[-1].start >= _TOLD_AFTER_S * self.rate:
            self._tell()

    def _tell(self) -> None:
        for lost in self._untold:
            for listener in self.listeners:
                listener.todo.append(Told(self._current.epoch, lost.end, lost))
        self._untold.clear()

    def _repeat(self, start: int, end: int) -> None:
        """Samples that came before: dropped and counted; the first of a run of such chunks is told."""
        self._duplicates += end - start
        if self._overlapping:
            return
        self._overlapping = True
        self._tell()
        told = Told(self._current.epoch, self._expected, Lost(start, end, self.rate, OVERLAP))
        for listener in self.listeners:
            if self._current.begun:
                frames = self._current.tape(listener.reader).end // listener.hop
                reading = listener.todo[-1]
                assert isinstance(reading, Reading)  # a begun stretch is the last thing in every queue
                reading.remarks.append((frames, told))
            else:
                listener.todo.append(told)


def mixed(samples: Samples, channels: int) -> Samples:
    """(time, any) -> (time, channels): one channel is the mean of all."""
    if samples.shape[1] == channels:
        return samples
    mean: Samples = samples.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    return mean
