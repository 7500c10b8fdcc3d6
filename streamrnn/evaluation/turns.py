"""A clip played more than once, each time otherwise: another gain, another noise, another pause before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator

from streamrnn.chunk import Samples
from streamrnn.evaluation.composing import CLEAN
from streamrnn.evaluation.playable import Noise, Segment
from streamrnn.evaluation.recordings import Recording

_GAIN_DB = (-12.0, 0.0)
_PAUSE_S = (0.0, 1.5)
# The noise goes on behind the clip: if it ended there, its end would tell where the word ends.
_AFTER_S = 0.5
_SNR_DB = (CLEAN, 30.0, 20.0)


@dataclass(frozen=True)
class Turn:
    """A clip as it is played once, at a `gain`: `pause` samples before it, half a second after it.

    White noise `snr_db` below the clip lies under all of that.
    """

    clip: Recording
    pause: int
    gain: float
    snr_db: float
    seed: int

    @property
    def path(self) -> Path:
        """Where the clip lies."""
        return self.clip.path

    @property
    def rate(self) -> int:
        """Samples a second, in Hz."""
        return self.clip.rate

    @property
    def channels(self) -> int:
        """Channels a sample."""
        return self.clip.channels

    @property
    def split(self) -> str:
        """The clip's part of the data."""
        return self.clip.split

    @property
    def group(self) -> str:
        """Who speaks."""
        return self.clip.group

    @property
    def labelled(self) -> Literal["events", "samples"]:
        """As the clip is."""
        return self.clip.labelled

    @property
    def noises(self) -> tuple[Noise, ...]:
        """What lies under it."""
        return (Noise(0, self.length, "" if self.snr_db == CLEAN else "white", self.snr_db),)

    @property
    def length(self) -> int:
        """Its number of samples."""
        return self.pause + self.clip.length + self._after

    @property
    def _after(self) -> int:
        return round(_AFTER_S * self.rate)

    @property
    def seconds(self) -> float:
        """Its duration in seconds."""
        return self.length / self.rate

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The clip's, behind the pause."""
        return tuple(Segment(self.pause + s.start, self.pause + s.end, s.label, s.source) for s in self.clip.segments)

    def samples(self) -> Samples:
        """All of it, float32 `(time, channels)`, always the same. Raises RecordingError."""
        said = self.clip.samples() * np.float32(self.gain)
        heard = np.pad(said, ((self.pause, self._after), (0, 0)))
        if self.snr_db != CLEAN:
            level = float(np.sqrt(np.mean(np.square(said, dtype=np.float64)))) * 10 ** (-self.snr_db / 20)
            white = np.random.default_rng(self.seed).standard_normal(heard.shape, np.float32)
            heard += np.float32(level) * white
        clipped: Samples = np.clip(heard, -1.0, 1.0)
        return clipped

    def blocks(self, length: int) -> Iterator[Samples]:
        """The same in blocks of at most `length` samples. Raises RecordingError."""
        heard = self.samples()
        for start in range(0, len(heard), length):
            yield heard[start : start + length]


def in_turns(clips: Sequence[Recording], times: int, random: Generator) -> list[Turn]:
    """Every clip `times` times, otherwise each time, in an order that mixes labels and people.

    All of them come once before any comes again.
    """
    turns: list[Turn] = []
    for _ in range(times):
        for place in random.permutation(len(clips)).tolist():
            clip = clips[place]
            pause = round(random.uniform(*_PAUSE_S) * clip.rate)
            gain = 10 ** (random.uniform(*_GAIN_DB) / 20)
            snr_db = _SNR_DB[int(random.integers(len(_SNR_DB)))]
            turns.append(Turn(clip, pause, gain, snr_db, int(random.integers(2**31))))
    return turns
