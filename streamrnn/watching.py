"""What watches a stream by its forecasts: debounced alarms with who is to blame, forecasts and scores when due."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.decoders import Found, SmoothedConfig, Track
from streamrnn.errors import ConfigError
from streamrnn.events import Alarm, Blame, Expected, Forecast, Heard, Scored, rounded
from streamrnn.recognizer import AnchorConfig, ForecastConfig, NotNegative, Recognizer

_BLAMED = 8  # channels an alarm names at most
Part = NDArray[np.float64]


class WatchConfig(SmoothedConfig, frozen=True):
    """An alarm once the score is at `enter` for `min_frames`; over when below `leave` for `hold_ms`.

    There is no alarm in the first `probation_ms`, nor for `refractory_ms` after one has begun. Every
    `forecast_every_ms` a forecast is told, and every `score_every_ms` the score; 0 tells none.
    """

    probation_ms: NotNegative = 0.0
    hold_ms: NotNegative = 0.0
    refractory_ms: NotNegative = 0.0
    forecast_every_ms: NotNegative = 0.0
    score_every_ms: NotNegative = 0.0


@dataclass(frozen=True, slots=True)
class Raised(Found):
    """An alarm with the channels to blame."""

    channels: tuple[Blame, ...]

    def body(self, label: str, start: int, end: int, rate: int) -> Heard:
        """As it is told."""
        return Alarm(label, start, end, rate, rounded(self.score), self.channels)


@dataclass(frozen=True, slots=True)
class Rated(Found):
    """The score of a frame."""

    def body(self, label: str, start: int, end: int, rate: int) -> Scored:
        """As it is told."""
        return Scored(label, start, end, rate, rounded(self.score))


@dataclass(frozen=True, slots=True)
class Foreseen(Found):
    """A forecast that is made in a frame, so many frames ahead."""

    ahead: int
    channels: tuple[Expected, ...]

    def body(self, label: str, start: int, end: int, rate: int) -> Forecast:
        """As it is told."""
        return Forecast(label, start, end, rate, self.ahead * (end - start), self.channels)


class Watch(ABC):
    """The fold: the memory is what is usual, as each kind has it, and what is up.

    A kind says what it measures in frames, how far that is from what is usual, and how it learns what is.
    """

    delay = 0

    def __init__(self, config: WatchConfig, recognizer: Recognizer) -> None:
        """Raises ConfigError for a recognizer whose head makes no forecasts."""
        head = recognizer.config.head
        if not isinstance(head, ForecastConfig):
            tag = config.__struct_config__.tag
            raise ConfigError(f"kind: {tag} takes forecasts; set `head: {{kind: forecast}}`, or take another decoder")
        self.enter, self.leave, self.min_frames = config.enter, config.leave, config.min_frames
        self.channels, self.steps = head.channels, head.steps
        self.units = np.array(recognizer.units or [(0.0, 1.0)] * head.channels, np.float64).T
        self.bent = any(isinstance(each, AnchorConfig) for each in recognizer.config.features)
        frames = recognizer.frames
        self.probation = frames(config.probation_ms)
        self.hold, self.refractory = frames(config.hold_ms), frames(config.refractory_ms)
        self.every = {
            name: max(1, frames(each)) if each else 0
            for name, each in (("score", config.score_every_ms), ("forecast", config.forecast_every_ms))
        }

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        return {
            "frame": np.zeros(batch, np.int64),
            "run": np.zeros(batch, np.int64),  # frames in a row at `enter`
            "rose": np.full(batch, -1, np.int64),  # when the score last rose to `leave`
            "opened": np.full(batch, -1, np.int64),  # when the alarm that is up began
            "fell": np.full(batch, -1, np.int64),  # when its score fell
            "best": np.zeros(batch, np.float64),  # the highest score of it
            "muted": np.zeros(batch, np.int64),
        }

    def __call__(self, posteriors: NDArray[np.float32], track: Track) -> tuple[list[Found], Track]:
        """(batch, frames, columns), track -> what was found, by row and frame, and the track after it."""
        said = posteriors.astype(np.float64)
        batch, frames = said.shape[:2]
        ready = said[:, :, 1] > 0.5
        after = {name: array.copy() for name, array in track.items()}
        measures = self._measures(said, ready, after)
        found: list[Found] = []
        for i in range(frames):
            each = self._scores(measures[:, i], after)
            scores = np.where(after["frame"] >= self.probation, each.max(axis=1), 0.0)
            self._learn(measures[:, i], ready[:, i], scores, after)
            for row in np.flatnonzero((scores >= self.leave) | (after["opened"] >= 0) | (after["rose"] >= 0)):
                self._frame(int(row), float(scores[row]), (said[row, i], each[row]), after, found)
            self._report(scores, said[:, i], ready[:, i], after, found)
            after["frame"] += 1
        return sorted(found, key=lambda each: (each.row, each.frame)) if batch > 1 else found, after

    @abstractmethod
    def _measures(self, said: Part, ready: NDArray[np.bool_], track: Track) -> NDArray[Any]:
        """(batch, frames, columns) -> (batch, frames, ...) what is followed; `track` is ours to write."""

    @abstractmethod
    def _scores(self, measures: Part, track: Track) -> Part:
        """(batch, ...) of a frame -> (batch, channels) in [0, 1): how far each is from what is usual."""

    @abstractmethod
    def _learn(self, measures: Part, ready: NDArray[np.bool_], scores: Part, track: Track) -> None:
        """Let what is usual move by a frame; `track` is ours to write."""

    def finish(self, track: Track) -> list[Found]:
        """The alarms that are still up end with the stream, or where their score fell before it."""
        return [self._over(int(row), track) for row in np.flatnonzero(track["opened"] >= 0)]

    def _frame(self, row: int, score: float, said: tuple[Part, Part], track: Track, found: list[Found]) -> None:
        frame = int(track["frame"][row])
        if score >= self.leave:
            track["fell"][row] = -1
            if track["rose"][row] < 0:
                track["rose"][row] = frame
        track["run"][row] = track["run"][row] + 1 if score >= self.enter else 0
        if track["opened"][row] >= 0:
            track["best"][row] = max(track["best"][row], score)
            if score < self.leave:
                if track["fell"][row] < 0:
                    track["fell"][row] = frame
                if frame - track["fell"][row] >= self.hold:
                    found.append(self._over(row, track))
                    track["opened"][row] = track["fell"][row] = -1
        elif track["run"][row] >= self.min_frames and frame >= track["muted"][row]:
            start = int(track["rose"][row])
            track["opened"][row], track["best"][row] = start, score
            track["muted"][row] = frame + 1 + self.refractory
            found.append(Raised(row, "alarm", 0, start, frame + 1, frame, score, self._blame(*said)))
        if score < self.leave:
            track["rose"][row] = -1

    def _over(self, row: int, track: Track) -> Found:
        """All of an alarm that was up, as a segment."""
        frame, fell = int(track["frame"][row]), int(track["fell"][row])
        end = fell if fell >= 0 else frame
        return Found(row, "segment", 0, int(track["opened"][row]), end, frame, float(track["best"][row]))

    def _sigmas(self, said: Part) -> Part:
        """(..., columns) -> (..., channels): how far what was seen lies from what was expected, in its deviations."""
        expected, deviation, seen = parts(said, self.channels)[:3]
        far: Part = (seen - expected) / np.maximum(deviation, 1e-6)
        return far

    def _blame(self, said: Part, scores: Part) -> tuple[Blame, ...]:
        """The channels by how far they are from what is usual."""
        expected, _, seen = (self._in_units(each) for each in parts(said, self.channels)[:3])
        order, sigmas = np.argsort(-scores, kind="stable")[:_BLAMED], self._sigmas(said)
        return tuple(Blame(int(i), _told(expected[i]), _told(seen[i]), round(float(sigmas[i]), 2)) for i in order)

    def _straight(self, values: Part) -> Part:
        """Values of frames as they are to one another in the source: what `anchor` bends is bent back."""
        straight: Part = np.sinh(values) if self.bent else values
        return straight

    def _in_units(self, values: Part) -> Part:
        """As the source has them, or in the stream's own deviations where nobody knows its units."""
        own: Part = self._straight(values) * self.units[1] + self.units[0]
        return own

    def _report(self, scores: Part, said: Part, ready: NDArray[np.bool_], track: Track, found: list[Found]) -> None:
        """Scores and forecasts that are due, where a forecast could be judged."""
        for name, every in self.every.items():
            for row in np.flatnonzero(((track["frame"] + 1) % every == 0) & ready) if every else ():
                frame, score = int(track["frame"][row]), float(scores[row])
                if name == "score":
                    found.append(Rated(int(row), name, 0, frame, frame + 1, frame, score))
                    continue
                coming = self._coming(said[row])
                found.append(Foreseen(int(row), name, 0, frame, frame + 1, frame, score, self.steps, coming))

    def _coming(self, said: Part) -> tuple[Expected, ...]:
        coming, deviation = parts(said, self.channels)[3:]
        values = self._in_units(coming)
        spread = self._in_units(coming + deviation) - values
        return tuple(Expected(i, _told(values[i]), _told(spread[i])) for i in range(self.channels))


def parts(said: NDArray[Any], channels: int) -> tuple[Part, Part, Part, Part, Part]:
    """What a forecast says, (..., columns) -> five of (..., channels), float64, in the network's scale.

    What was expected of a frame and its deviation, what was seen, and what is expected to come and its deviation.
    """
    expected, deviation, seen, coming, spread = (
        said[..., 2 + i * channels : 2 + (i + 1) * channels].astype(np.float64, copy=False) for i in range(5)
    )
    return expected, deviation, seen, coming, spread


def _told(value: float) -> float:
    """A value as it is published: to 5 digits."""
    return float(f"{value:.5g}")
