"""Words cut out of a stream by their energy: where something loud begins and ends, for recording one clip at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streamrnn.chunk import Samples

_FRAME_S = 0.01
_LOUD_DB = 12.0  # above the noise
_QUIETEST_DB = -50.0  # below full scale: less is never a word
_FLOOR_DB = -90.0  # what digital silence counts as
_RISE_DB = 0.05  # a frame, by which the noise may seem to rise


@dataclass(frozen=True, slots=True)
class CutConfig:
    """Durations in seconds: what is kept around a word, the silence that ends it, and how long it must and may be."""

    lead: float = 0.25
    tail: float = 0.25
    hush: float = 0.4
    shortest: float = 0.08
    longest: float = 4.0


@dataclass(slots=True)
class Cutter:
    """Takes chunks of any size of one stream of `rate` Hz and gives back whole clips; the chunks make no difference."""

    rate: int
    config: CutConfig = CutConfig()
    level_db: float = _FLOOR_DB  # of the last frame, for a meter
    _held: Samples = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    _first: int = 0  # index of the first sample that is held
    _frame: int = 0  # frames that were looked at
    _noise: float = _FLOOR_DB
    _word: tuple[int, int] = (-1, -1)  # first and last loud frame of the word that is open
    _deaf_until: int = 0

    def push(self, samples: Samples) -> list[Samples]:
        """Samples `(time, channels)` -> the clips `(time, channels)` that they complete."""
        joined = np.concatenate([self._held.reshape(-1, samples.shape[1]), samples])
        self._held = joined
        size = self._frames_to_samples(1)
        clips: list[Samples] = []
        while (self._frame + 1) * size <= self._first + len(self._held):
            at = self._frame * size - self._first
            clips += self._look(self._held[at : at + size])
            self._frame += 1
        self._forget()
        return clips

    def finish(self) -> list[Samples]:
        """The clip that the end of the stream cuts short, if a word is open."""
        return self._close(self._first + len(self._held)) if self._word[0] >= 0 else []

    def ignore(self, seconds: float) -> None:
        """Take nothing for a word in the seconds that come next, such as what a loudspeaker plays."""
        self._deaf_until = self._frame + round(seconds / _FRAME_S)
        self._word = (-1, -1)

    def _look(self, frame: Samples) -> list[Samples]:
        power = float(np.mean(np.square(frame, dtype=np.float64)))
        self.level_db = max(_FLOOR_DB, 10.0 * np.log10(power + 1e-12))
        if self._frame == 0:
            self._noise = self.level_db
        self._noise = min(self.level_db, self._noise + _RISE_DB)
        loud = self.level_db > max(self._noise + _LOUD_DB, _QUIETEST_DB) and self._frame >= self._deaf_until
        first, last = self._word
        if loud:
            self._word = (self._frame if first < 0 else first, self._frame)
        if self._word[0] < 0:
            return []
        first, last = self._word
        quiet = (self._frame - last) * _FRAME_S
        if quiet >= self.config.hush or (self._frame - first) * _FRAME_S >= self.config.longest:
            # Not beyond this frame: what else is held depends on the chunks.
            return self._close(self._frames_to_samples(self._frame + 1))
        return []

    def _close(self, limit: int) -> list[Samples]:
        """The word that is open, up to the sample `limit` at most."""
        first, last = self._word
        self._word = (-1, -1)
        if (last + 1 - first) * _FRAME_S < self.config.shortest:
            return []  # a click
        lead, tail = round(self.config.lead * self.rate), round(self.config.tail * self.rate)
        start = max(0, self._frames_to_samples(first) - lead - self._first)
        end = min(limit, self._frames_to_samples(last + 1) + tail) - self._first
        return [self._held[start:end].copy()]

    def _forget(self) -> None:
        """Drop what no clip can need any more."""
        oldest = self._word[0] if self._word[0] >= 0 else self._frame
        keep = self._frames_to_samples(oldest) - round(self.config.lead * self.rate)
        drop = max(0, keep - self._first)
        self._held = self._held[drop:]
        self._first += drop

    def _frames_to_samples(self, frames: int) -> int:
        return frames * max(1, round(_FRAME_S * self.rate))
