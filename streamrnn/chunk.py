"""What sources hand to the engine: a stream opens, brings chunks, loses samples, ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Times = NDArray[np.int64]  # nanoseconds of the source's clock, whatever it counts from
NO_TIMES: Times = np.zeros(0, np.int64)
MUTED = "muted"  # the reason of a gap: samples that came while their source was paused
STOPPED = "the daemon stops"  # the reason of an end after which the stream may go on in the next daemon


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that begins: its name, sample rate in Hz and number of channels.

    One that may go on where it stopped before names its `run`, within which sample n is the same sample for ever, and
    the `first` sample that can still be had. `timed` is one whose rows carry times; `names` are those of its channels,
    () if it tells none; what comes is `full_scale` at most, 0.0 if nobody knows.
    """

    stream: str
    rate: int
    channels: int
    first: int = 0
    run: str = ""
    timed: bool = False
    names: tuple[str, ...] = ()
    full_scale: float = 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples `(time, channels)` of a stream; `start` counts the samples of the stream before it.

    Of a stream that is timed they are rows, as they came, and each has one of the `times`.
    """

    stream: str
    start: int
    samples: Samples
    times: Times = field(default_factory=lambda: NO_TIMES, compare=False)

    @property
    def end(self) -> int:
        """Index just past the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples `[start, end)` of a stream that will never come, and why."""

    stream: str
    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A stream that is over: what is pending comes out now. `reason` tells why, if it did not end by itself."""

    stream: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """What a source says of an open stream beside its samples: a state in one word, such as `offline`, and why."""

    stream: str
    state: str
    text: str


Item = Opened | Chunk | Gap | Note | Ended
