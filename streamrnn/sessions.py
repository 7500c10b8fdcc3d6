"""What the engine remembers of a stream: the border that checks its samples, its epochs, and who listens to it.

A `Stretch` is one unbroken run of samples, an epoch: memory lives in it and ends with it. Each bundle that listens to
the stream is a `Listener` with a queue of what is to do, in order: stretches to read and gaps to tell.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamrnn import snapshot
from streamrnn.chunk import Samples
from streamrnn.errors import StreamError
from streamrnn.events import Lost
from streamrnn.resampling import to_source
from streamrnn.snapshot import ListenerMemory, Snapshot
from streamrnn.stretch import Reader, Reading, Stretch, Told

# Energies are squares: beyond this float32 overflows in the features and a hidden state may become NaN for ever.
LARGEST = 1e15
_USUAL = 8192  # values of a chunk; a longer one would be shared out to BLAS's threads
NOT_FINITE = "not finite"
OVERLAP = "overlap"
MISSING = "missing"
FOREVER, NEVER = 2**62, -1
# A run of lost samples is told when it is over, or in pieces of as long as this.
_TOLD_AFTER_S = 10


@dataclass(slots=True, eq=False)
class Listener:
    """One bundle on one stream: its row in the bundle's tables and what it has to do, in order."""

    session: Session
    reader: Reader
    hop: int
    row: int
    todo: list[Reading | Told] = field(default_factory=list)  # short: a deque would be 700 bytes a stream
    queued: bool = False
    left: bool = False
    # What is decided at a source sample in (since, until] is told.
    since: int = -1
    until: int = FOREVER


@dataclass(frozen=True, slots=True)
class Counts:
    """Samples of a stream since it was opened: heard, lost (never came or not finite) and duplicates (came twice).

    All that was lost before sample `untold` has been told, or waits for a step to tell it.
    """

    expected: int
    epoch: int
    heard: int
    lost: int
    duplicates: int
    untold: int


class Session:
    """A stream from open to finish: each sample is checked here, once, and goes to all that listen."""

    __slots__ = (
        "_current",
        "_duplicates",
        "_expected",
        "_heard",
        "_in_gap",
        "_lost",
        "_overlapping",
        "_readers",
        "_untold",
        "attached",
        "channels",
        "ended",
        "listeners",
        "rate",
        "stream",
    )

    def __init__(
        self, stream: str, rate: int, channels: int, readers: Sequence[Reader], *, epoch: int, start: int
    ) -> None:
        """Its first sample will be number `start`. Raises StreamError if it cannot be resampled for a reader."""
        self.stream, self.rate, self.channels = stream, rate, channels
        self.listeners: list[Listener] = []
        self.attached: tuple[str, ...] = ()  # to which bundles; none named: to all there are
        self.ended = False
        self._readers = tuple(readers)
        self._current = Stretch(epoch, rate, channels, self._readers)
        self._expected = start
        self._heard, self._lost, self._duplicates = 0, 0, 0
        self._untold: list[Lost] = []
        self._in_gap = False
        self._overlapping = False

    @property
    def counts(self) -> Counts:
        """What has come of this stream so far."""
        untold = self._untold[0].start if self._untold else self._expected
        return Counts(self._expected, self._current.epoch, self._heard, self._lost, self._duplicates, untold)

    def push(self, start: int, samples: NDArray[np.floating]) -> None:
        """Samples `(time, channels)` from `start` on. Raises StreamError if they are not of this stream's make."""
        samples = checked(self.stream, self.channels, start, samples)
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
        if _all_usable(samples):
            self._hear(samples)
            return
        good = usable(samples)
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

    def forget(self, reason: str) -> None:
        """Memory ends here: a gap of no samples, told when the stream goes on, and a new epoch."""
        self._miss(Lost(self._expected, self._expected, self.rate, reason))

    @property
    def settled(self) -> bool:
        """Whether all that came has been heard and told, as far as it can be."""
        ahead = 1 if self._current.begun else 0
        return all(not each.queued and len(each.todo) == ahead for each in self.listeners)

    def remembered(self) -> Snapshot:
        """All but the listeners."""
        begun = self._current.begun
        return Snapshot(
            schema=snapshot.SCHEMA,
            stream=self.stream,
            rate=self.rate,
            channels=self.channels,
            epoch=self._current.epoch,
            start=self._current.start if begun else self._expected,
            expected=self._expected,
            heard=self._heard,
            lost=self._lost,
            duplicates=self._duplicates,
            untold=tuple(self._untold),
            in_gap=self._in_gap,
            overlapping=self._overlapping,
            inputs=self._current.remembered() if begun else (),
            listeners=(),
        )

    def resume(self, memory: Snapshot, readings: Mapping[Reader, ListenerMemory]) -> None:
        """Go on where another session of this stream was, if this one has heard nothing and each reader is known."""
        self._heard, self._lost, self._duplicates = memory.heard, memory.lost, memory.duplicates
        self._untold = list(memory.untold)
        self._in_gap, self._overlapping = memory.in_gap, memory.overlapping
        if memory.start == memory.expected:
            return
        places = {reader: reading.place for reader, reading in readings.items()}
        self._current.resume(memory.start, memory.expected, memory.inputs, places)
        for listener in self.listeners:
            each = readings[listener.reader]
            remarks = [(remark.frames, Told(remark.epoch, remark.sample, remark.lost)) for remark in each.remarks]
            listener.todo.append(Reading(self._current, each.frames, each.origin, each.restored, remarks))

    def join(self, listener: Listener, warm_up: int) -> None:
        """Another listener, of what comes next; it tells what is decided after it has heard `warm_up` frames."""
        reader = listener.reader
        origin, begin = self._current.join(reader)
        self._readers = (*self._readers, reader)
        self.listeners.append(listener)
        if self._current.begun:
            listener.todo.append(Reading(self._current, origin=origin))
            listener.since = begin + to_source(origin + warm_up * listener.hop, self.rate, reader.rate)
        else:
            listener.since = self._expected

    def leave(self, listener: Listener) -> None:
        """A listener less."""
        self.listeners.remove(listener)
        if not self.ended:
            self._readers = tuple(reader for reader in self._readers if reader != listener.reader)
            self._current.leave(listener.reader)

    def finish(self) -> None:
        """No more samples will come."""
        self.ended = True
        if self._current.begun:
            self._current.close()
        self._tell()

    def _hear(self, samples: Samples) -> None:
        if not self._current.begun:
            self._tell()
            self._current.begin(self._expected)
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
                reading = listener.todo[-1]
                assert isinstance(reading, Reading)  # a begun stretch is the last thing in every queue
                frames = (self._current.tape(listener.reader).end - reading.origin) // listener.hop
                reading.remarks.append((frames, told))
            else:
                listener.todo.append(told)


def checked(stream: str, channels: int, start: int, samples: NDArray[np.floating]) -> Samples:
    """Samples that may be pushed. Raises StreamError if they are not `(time, channels)`, floats, or none."""
    if samples.ndim != 2 or samples.shape[1] != channels:
        raise StreamError(f"{stream}: samples have shape {samples.shape}, not (time, {channels}) as it was opened with")
    if not len(samples):
        raise StreamError(f"{stream}: no samples were pushed; leave empty chunks out")
    if start < 0:
        raise StreamError(f"{stream}: chunk starts at {start}; samples are counted from 0")
    if samples.dtype.kind != "f":
        raise StreamError(f"{stream}: samples are {samples.dtype}, not float32; scale them to [-1, 1] first")
    if samples.dtype == np.float32:
        return samples
    with np.errstate(over="ignore"):
        # No copy is needed: tapes and resamplers take their own, so the caller may fill its array again.
        return np.asarray(samples, np.float32)


def _all_usable(samples: Samples) -> bool:
    """Whether all can be heard, without a temporary array; not a number is in no order."""
    # One pass over a usual chunk, which is exact: a sum of squares this low has no sample near the bound.
    if samples.size <= _USUAL and np.vdot(samples, samples) < 0.1 * LARGEST**2:
        return True
    return bool(samples.max() <= LARGEST and samples.min() >= -LARGEST)


def usable(samples: Samples) -> NDArray[np.bool_]:
    """Which of samples `(time, channels)` can be heard: those that are finite and not beyond 1e15."""
    with np.errstate(invalid="ignore"):
        good: NDArray[np.bool_] = np.all(np.abs(samples) <= LARGEST, axis=1)
    return good
