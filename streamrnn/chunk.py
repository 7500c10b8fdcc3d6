"""What sources hand to the engine: a stream opens, brings chunks, loses samples, ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
MUTED = "muted"  # the reason of a gap: samples that came while their source was paused
STOPPED = "the daemon stops"  # the reason of an end after which the stream may go on in the next daemon


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that begins: its name, sample rate in Hz and number of channels.

    One that may go on where it stopped before names its `run`, within which sample n is the same sample for ever, and
    the `first` sample that can still be had.
    """

    stream: str
    rate: int
    channels: int
    first: int = 0
    run: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples `(time, channels)` of a stream; `start` counts the samples of the stream before it."""

    stream: str
    start: int
    samples: Samples

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
