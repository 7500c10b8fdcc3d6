"""A stretch: one unbroken run of a stream's samples, as the bundles that read it take them, and how far each is."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamrnn.chunk import Samples
from streamrnn.events import Lost
from streamrnn.resampling import Resampler, open_resampler, resume_resampler, to_source
from streamrnn.snapshot import InputMemory
from streamrnn.tape import Tape


@dataclass(frozen=True, slots=True)
class Reader:
    """A bundle as a stretch sees it: its name among the readers, and what it takes."""

    bundle: str
    rate: int
    channels: int

    @property
    def takes(self) -> tuple[int, int]:
        """The input that it reads: rate and channels."""
        return self.rate, self.channels


@dataclass(frozen=True, slots=True)
class Told:
    """A gap that is to be told when all before it has been."""

    epoch: int
    sample: int
    lost: Lost


@dataclass(slots=True)
class Input:
    """A stretch as readers of one rate and number of channels take it; its tape begins at source sample `begin`."""

    resampler: Resampler
    tape: Tape
    begin: int


class Stretch:
    """One unbroken run of a stream's samples, resampled once for each rate that is listened to."""

    def __init__(self, epoch: int, rate: int, channels: int, readers: Sequence[Reader]) -> None:
        self.epoch = epoch
        self.start = 0  # source sample with which it begins
        self.end = 0  # source sample just past its last
        self.closed = False
        self.rate = rate
        self._inputs: dict[tuple[int, int], Input] = {}
        for reader in readers:
            names = [other.bundle for other in readers if other.takes == reader.takes]
            if reader.takes not in self._inputs:
                resampler = open_resampler(rate, reader.rate, reader.channels)
                self._inputs[reader.takes] = Input(resampler, Tape(reader.channels, names), 0)

    @property
    def begun(self) -> bool:
        """Whether it has any samples."""
        return self.end > self.start

    def tape(self, reader: Reader) -> Tape:
        """The samples as this reader takes them."""
        return self._inputs[reader.takes].tape

    def source(self, reader: Reader, sample: int) -> int:
        """The source sample at which sample `sample` of the reader's tape lies, at most the stretch's end."""
        begin = self._inputs[reader.takes].begin
        return min(begin + to_source(sample, self.rate, reader.rate), self.end)

    def begin(self, sample: int) -> None:
        """The first sample is number `sample` of the stream."""
        self.start = self.end = sample
        for each in self._inputs.values():
            each.begin = sample

    def join(self, reader: Reader) -> tuple[int, int]:
        """Another reader, of what comes next: the tape's sample with which it begins, and at which of the source."""
        if reader.takes not in self._inputs:
            resampler = open_resampler(self.rate, reader.rate, reader.channels)
            self._inputs[reader.takes] = Input(resampler, Tape(reader.channels, []), self.end)
        each = self._inputs[reader.takes]
        each.tape.join(reader.bundle)
        return each.tape.end, each.begin

    def leave(self, reader: Reader) -> None:
        """A reader less."""
        if not self._inputs[reader.takes].tape.leave(reader.bundle):
            del self._inputs[reader.takes]

    def add(self, samples: Samples) -> None:
        """The samples that come next, `(time, channels)` of the source."""
        self.end += len(samples)
        for (_, channels), each in self._inputs.items():
            each.tape.append(each.resampler.push(mixed(samples, channels)))

    def close(self) -> None:
        """No more will come: what the resamplers hold goes on the tapes."""
        self.closed = True
        for each in self._inputs.values():
            each.tape.append(each.resampler.finish())

    def remembered(self) -> tuple[InputMemory, ...]:
        """What its inputs go on from."""
        return tuple(
            InputMemory(rate, channels, each.begin, each.resampler.primer(), each.tape.end, each.tape.waiting())
            for (rate, channels), each in self._inputs.items()
        )

    def resume(self, start: int, end: int, inputs: Sequence[InputMemory], places: Mapping[Reader, int]) -> None:
        """Go on where another stretch of these readers was, each at its place."""
        self.start, self.end = start, end
        for memory in inputs:
            key = (memory.rate, memory.channels)
            if key in self._inputs:
                resampler, beyond = resume_resampler(self.rate, *key, memory.primer)
                tape = self._inputs[key].tape
                own = {reader.bundle: place for reader, place in places.items() if reader.takes == key}
                tape.resume(memory.end, memory.waiting, own)
                tape.append(beyond)
                self._inputs[key] = Input(resampler, tape, memory.begin)


@dataclass(slots=True)
class Reading:
    """How far a listener is in a stretch, and what it has to tell on the way: `(whole frames before it, gap)`.

    Its frames are counted from tape sample `origin`; up to frame `restored` it lives on what another engine heard.
    """

    stretch: Stretch
    frames: int = 0
    origin: int = 0
    restored: int = 0
    remarks: deque[tuple[int, Told]] = field(default_factory=deque)


def mixed(samples: Samples, channels: int) -> Samples:
    """(time, any) -> (time, channels): one channel is the mean of all."""
    if samples.shape[1] == channels:
        return samples
    mean: Samples = samples.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    return mean
