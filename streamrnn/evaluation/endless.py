"""Clips one after another as one endless stream: what a recognizer that is never reset hears."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np

from streamrnn.chunk import Samples
from streamrnn.errors import RecordingError
from streamrnn.evaluation.metrics import clip_is_right
from streamrnn.evaluation.playable import Noise, Playable, Segment
from streamrnn.evaluation.run import Stream


@dataclass(frozen=True)
class Endless:
    """A stream of whole recordings of one rate and make, with `pause` samples of silence before and after each."""

    recordings: tuple[Playable, ...]
    pause: int
    path: Path = Path("endless")
    split: str = ""
    group: str = ""
    labelled: Literal["events", "samples"] = "events"
    noises: tuple[Noise, ...] = ()

    def __post_init__(self) -> None:
        makes = {(each.rate, each.channels) for each in self.recordings}
        if len(makes) != 1:
            told = ", ".join(f"{rate} Hz with {channels} channels" for rate, channels in sorted(makes)) or "none"
            raise RecordingError(f"clips of one rate and make can follow one another, not {told}; convert them")

    @property
    def rate(self) -> int:
        """Samples a second, in Hz."""
        return self.recordings[0].rate

    @property
    def channels(self) -> int:
        """Channels a sample."""
        return self.recordings[0].channels

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where the silence before each recording begins, and at last where all ends."""
        return tuple(accumulate((each.length + 2 * self.pause for each in self.recordings), initial=0))

    @property
    def length(self) -> int:
        """Its number of samples."""
        return self.starts[-1]

    @property
    def seconds(self) -> float:
        """Its duration in seconds."""
        return self.length / self.rate

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """What is said in all of them."""
        return tuple(
            Segment(start + self.pause + s.start, start + self.pause + s.end, s.label)
            for start, each in zip(self.starts, self.recordings, strict=False)
            for s in each.segments
        )

    def samples(self) -> Samples:
        """All of it, float32 `(time, channels)`. Raises RecordingError where a recording cannot be read."""
        return np.concatenate(list(self._parts()))

    def blocks(self, length: int) -> Iterator[Samples]:
        """The same in blocks of at most `length` samples, read as they are asked for. Raises RecordingError."""
        for part in self._parts():
            for start in range(0, len(part), length):
                yield part[start : start + length]

    def _parts(self) -> Iterator[Samples]:
        silence = np.zeros((self.pause, self.channels), np.float32)
        for each in self.recordings:
            yield np.concatenate([silence, each.samples(), silence])


def clips_right(stream: Stream, endless: Endless, labels: Sequence[str]) -> list[bool]:
    """Which of the clips were right by the clip rule, in their order; `labels` says what each is.

    What was heard belongs to the clip, with the silence around it, in which it begins.
    """
    heard: list[list[str]] = [[] for _ in labels]
    starts = np.asarray(endless.starts) / endless.rate
    for each in stream.heard:
        place = int(np.searchsorted(starts, each.start, side="right")) - 1
        heard[min(max(0, place), len(heard) - 1)].append(each.label)
    return [clip_is_right(said, those) for said, those in zip(labels, heard, strict=True)]
