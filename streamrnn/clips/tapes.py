"""What was heard of a stream lately: its samples as they came, in unbroken runs, until clips are cut from them."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np

from streamrnn.chunk import Chunk, Samples
from streamrnn.clips.clip import END, GAP, IDLE, LONGEST, START, Clip
from streamrnn.clips.snapshots import Snapshots
from streamrnn.events import Heard
from streamrnn.sessions import Counts, usable
from streamrnn.wire import Message

_BLOCKS_A_SECOND = 4
_RUNS = 64  # of one stream; of one that loses samples all the time the oldest go


@dataclass(frozen=True, slots=True)
class Spans:
    """How far clips of a stream reach, in samples: before an event, after it, and from its start until it is told.

    What is remembered is kept at samples that are `state_every` apart, 0 for never.
    """

    before: int
    after: int
    longest: int
    state_every: int = 0

    def room(self, rate: int) -> int:
        """So many samples are kept: those of a clip, and of the second in which an event may still be told again."""
        return self.state_every + self.before + self.longest + self.after + rate


class Run:
    """Samples that follow one another, from `begin` on; `why` nothing of them lies before it."""

    def __init__(self, begin: int, channels: int, block: int, why: str) -> None:
        self.begin = self.first = self.end = begin  # `first` is the first that is still kept
        self.why = why
        self._channels, self._block = channels, block
        self._blocks: deque[Samples] = deque()  # all of `block` samples, from `_start` on; the last may not be full
        self._start = begin

    def append(self, samples: Samples) -> None:
        """Samples `(time, channels)` behind the last."""
        while len(samples):
            filled = (self.end - self._start) - (len(self._blocks) - 1) * self._block if self._blocks else self._block
            if filled == self._block:
                self._blocks.append(np.empty((self._block, self._channels), np.float32))
                filled = 0
            taken = samples[: self._block - filled]
            self._blocks[-1][filled : filled + len(taken)] = taken
            self.end += len(taken)
            samples = samples[len(taken) :]

    def forget(self, first: int) -> None:
        """Samples before `first` are not asked for any more."""
        self.first = max(self.first, min(first, self.end))
        while self._blocks and self._start + self._block <= self.first:
            self._blocks.popleft()
            self._start += self._block

    def copy(self, first: int, end: int) -> Samples:
        """Samples `[first, end)`, which are there."""
        head = (first - self._start) // self._block
        start = self._start + head * self._block
        blocks = list(itertools.islice(self._blocks, head, (end - self._start - 1) // self._block + 1))
        whole: Samples = np.concatenate(blocks)[first - start : end - start]
        return whole


class Tape:
    """One stream from when it is kept to its end; the engine's counts tell what it has taken of a chunk."""

    def __init__(self, rate: int, channels: int, spans: Spans, counts: Counts) -> None:
        self.rate, self.channels, self.spans = rate, channels, spans
        self.epoch = counts.epoch  # its events are of this one or a later
        self.over = False
        self._counts = counts
        self._block = max(1, rate // _BLOCKS_A_SECOND)
        self._runs = [Run(counts.expected, channels, self._block, START)]
        self.snapshots = Snapshots()

    @staticmethod
    def size(rate: int, channels: int, spans: Spans) -> int:
        """How much memory such a tape takes, beside what came since it was last trimmed."""
        return (spans.room(rate) + 2 * max(1, rate // _BLOCKS_A_SECOND)) * channels * 4

    @property
    def nbytes(self) -> int:
        """How much memory it takes now, or may."""
        return self.size(self.rate, self.channels, self.spans) + self.snapshots.nbytes

    @property
    def due(self) -> bool:
        """Whether what is remembered of the stream is to be kept now."""
        every = self.spans.state_every
        return bool(every) and self._counts.expected >= self.snapshots.last + every

    def hear(self, chunk: Chunk, counts: Counts) -> None:
        """A chunk that the engine has taken, and its counts then."""
        before, self._counts = self._counts, counts
        start = max(chunk.start, before.expected)
        samples = chunk.samples[start - chunk.start :]
        if counts.heard - before.heard == len(samples):
            self._append(start, samples)
            return
        good = usable(samples)  # looked at again only where some were not heard
        turns = [0, *(int(turn) for turn in np.flatnonzero(good[1:] != good[:-1]) + 1), len(samples)]
        for first, last in itertools.pairwise(turns):
            if good[first]:
                self._append(start + first, samples[first:last])
        self._break(counts.expected)

    def lose(self, counts: Counts) -> None:
        """Samples are lost that the engine was told of, or all memory and no sample, and its counts then."""
        before, self._counts = self._counts, counts
        if counts.epoch == before.epoch:
            self._break(counts.expected)
        else:
            self._begin(counts.expected)

    def cut(self, message: Message, heard: Heard, text: bytes, bundle: str, delay: int) -> tuple[Clip, ...]:
        """The clip of an event of a bundle read from `bundle`, of what has come by now; none if its samples are gone.

        With it goes what was remembered before, if it was kept; and then all samples up to that with which the event
        was told, of which a resampler may have waited for `delay` more.
        """
        run = self._run(heard)
        asked = heard.start - self.spans.before, heard.end + self.spans.after
        told = message.t.sample - self.spans.longest - self.spans.before
        first, end = max(asked[0], told, run.first), min(asked[1], run.end)
        if first >= end:
            return ()
        snapshots = self.snapshots.before(first, (run.begin, run.first), message)
        if snapshots:
            first = min(first, *(each.expected for each in snapshots))
            end = max(end, min(run.end, message.t.sample + delay))
        cut_before = "" if first <= asked[0] else run.why if first == run.begin else LONGEST
        closed = GAP if run is not self._runs[-1] else END if self.over else IDLE
        cut_after = "" if end >= asked[1] else closed
        samples = run.copy(first, end)
        return (Clip(message, text, first, self.rate, samples, cut_before, cut_after, snapshots, bundle),)

    def whole(self, heard: Heard) -> bool:
        """Whether all has come that there will be for the clip of an event."""
        run = self._run(heard)
        return self.over or run is not self._runs[-1] or run.end >= heard.end + self.spans.after

    def trim(self) -> None:
        """All that came has been heard: what no event can ask for any more is forgotten."""
        least = self._counts.expected - self.spans.room(self.rate)
        for run in self._runs:
            run.forget(least)
        self._runs = [each for each in self._runs[:-1] if each.end > least][-_RUNS:] + self._runs[-1:]
        self.snapshots.forget(self._runs[0].first)

    def _run(self, heard: Heard) -> Run:
        """The run in which an event begins, or the oldest that is kept."""
        return next((each for each in reversed(self._runs) if each.begin <= heard.start), self._runs[0])

    def _append(self, start: int, samples: Samples) -> None:
        self._break(start)
        self._runs[-1].append(samples)

    def _break(self, start: int) -> None:
        """What comes next is sample `start`: it follows the last one, or begins a run."""
        if self._runs[-1].end != start:
            self._begin(start)

    def _begin(self, start: int) -> None:
        """A run of samples before which nothing is remembered."""
        self._runs.append(Run(start, self.channels, self._block, GAP))
        self.snapshots.anew(start)
