"""A stretch: one unbroken run of a stream's samples, as the bundles that read it take them, and how far each is."""

from __future__ import annotations

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
    takes: tuple[int, int] = field(init=False, compare=False)  # the input that it reads: rate and channels

    def __post_init__(self) -> None:
        object.__setattr__(self, "takes", (self.rate, self.channels))


@dataclass(frozen=True, slots=True)
class Told:
    """A gap that is to be told when all before it has been."""

    epoch: int
    sample: int
    lost: Lost


@dataclass(slots=True, eq=False)
class Input:
    """A stretch as readers of one rate and number of channels take it; its tape begins at source sample `begin`."""

    takes: tuple[int, int]
    resampler: Resampler
    tape: Tape
    begin: int


class Stretch:
    """One unbroken run of a stream's samples, resampled once for each rate that is listened to."""

    __slots__ = (
        "_inputs",
        "closed",
        "end",
        "epoch",
        "rate",
        "start",
    )

    def __init__(self, epoch: int, rate: int, channels: int, readers: Sequence[Reader]) -> None:
        self.epoch = epoch
        self.start = 0  # source sample with which it begins
        self.end = 0  # source sample just past its last
        self.closed = False
        self.rate = rate
        self._inputs: list[Input] = []  # one or a few: a dict would be larger and no faster
        for reader in readers:
            if self._find(reader) is None:
                names = [other.bundle for other in readers if other.takes == reader.takes]
                resampler = open_resampler(rate, reader.rate, reader.channels)
                self._inputs.append(Input(reader.takes, resampler, Tape(reader.channels, names), 0))

    @property
    def begun(self) -> bool:
        """Whether it has any samples."""
        return self.end > self.start

    def tape(self, reader: Reader) -> Tape:
        """The samples as this reader takes them."""
        return self._input(reader).tape

    def source(self, reader: Reader, sample: int) -> int:
        """The source sample at which sample `sample` of the reader's tape lies, at most the stretch's end."""
        begin = self._input(reader).begin
        return min(begin + to_source(sample, self.rate, reader.rate), self.end)

    def begin(self, sample: int) -> None:
        """The first sample is number `sample` of the stream."""
        self.start = self.end = sample
        for each in self._inputs:
            each.begin = sample

    def join(self, reader: Reader) -> tuple[int, int]:
        """Another reader, of what comes next: the tape's sample with which it begins, and at which of the source."""
        each = self._find(reader)
        if each is None:
            resampler = open_resampler(self.rate, reader.rate, reader.channels)
            each = Input(reader.takes, resampler, Tape(reader.channels, []), self.end)
            self._inputs.append(each)
        each.tape.join(reader.bundle)
        return each.tape.end, each.begin

    def leave(self, reader: Reader) -> None:
        """A reader less."""
        each = self._input(reader)
        if not each.tape.leave(reader.bundle):
            self._inputs.remove(each)

    def add(self, samples: Samples) -> None:
        """The samples that come next, `(time, channels)` of the source."""
        self.end += len(samples)
        for each in self._inputs:
            each.tape.append(each.resampler.push(mixed(samples, each.takes[1])))

    def close(self) -> None:
        """No more will come: what the resamplers hold goes on the tapes."""
        self.closed = True
        for each in self._inputs:
            each.tape.append(each.resampler.finish())

    def remembered(self) -> tuple[InputMemory, ...]:
        """What its inputs go on from."""
        return tuple(
            InputMemory(*each.takes, each.begin, each.resampler.primer(), each.tape.end, each.tape.waiting())
            for each in self._inputs
        )

    def resume(self, start: int, end: int, inputs: Sequence[InputMemory], places: Mapping[Reader, int]) -> None:
        """Go on where another stretch of these readers was, each at its place."""
        self.start, self.end = start, end
        for memory in inputs:
            for each in self._inputs:
                if each.takes == (memory.rate, memory.channels):
                    each.resampler, beyond = resume_resampler(self.rate, *each.takes, memory.primer)
                    own = {reader.bundle: place for reader, place in places.items() if reader.takes == each.takes}
                    each.tape.resume(memory.end, memory.waiting, own)
                    each.tape.append(beyond)
                    each.begin = memory.begin

    def _find(self, reader: Reader) -> Input | None:
        for each in self._inputs:
            if each.takes == reader.takes:
                return each
        return None

    def _input(self, reader: Reader) -> Input:
        each = self._find(reader)
        if each is None:
            raise LookupError(reader)
        return each


@dataclass(slots=True)
class Reading:
    """How far a listener is in a stretch, and what it has to tell on the way: `(whole frames before it, gap)`.

    Its frames are counted from tape sample `origin`; up to frame `restored` it lives on what another engine heard.
    """

    stretch: Stretch
    frames: int = 0
    origin: int = 0
    restored: int = 0
    remarks: list[tuple[int, Told]] = field(default_factory=list)


def mixed(samples: Samples, channels: int) -> Samples:
    """(time, any) -> (time, channels): one channel is the mean of all."""
    if samples.shape[1] == channels:
        return samples
    mean: Samples = samples.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    return mean
