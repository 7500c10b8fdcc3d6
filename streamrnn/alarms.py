"""Forecast errors into alarms: how far they are from the stream's own usual ones, debounced, with who is to blame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamrnn.decoders import Found, SmoothedConfig, Track, summed
from streamrnn.errors import ConfigError
from streamrnn.events import Alarm, Blame, Expected, Forecast, Heard, Scored, rounded
from streamrnn.recognizer import ForecastConfig, NotNegative, Positive, Recognizer
from streamrnn.registry import register

_HALF = 5.0  # sigmas beyond the usual that are a score of a half
_BLAMED = 8  # channels an alarm names at most
# An error this many deviations above the usual one teaches the distribution no more than one at this distance.
_CLIP = 3.0
Part = NDArray[np.float64]


@register("decoder", "streamrnn.alarms:Alarms")
class AlarmConfig(SmoothedConfig, frozen=True, tag="alarm"):
    """An alarm once forecast errors are at `enter` for `min_frames`; over when below `leave` for `hold_ms`.

    An error is how far what was seen lies from what was expected, in deviations of the forecast, averaged over
    `smooth_ms`. It is measured against the errors of the stream's own past: their mean and deviation, no less than
    `least_sigma`, over some `memory_ms` (an exponential mean; 0 takes the forecast at its word). `s` deviations above
    the mean are a score of `s / (s + 5)`. There is no alarm in the first `probation_ms`, nor for `refractory_ms` after
    one has begun.

    What is at `leave` or above teaches the distribution nothing for `learn_after_ms`: an anomaly is not learnt as usual
    before it has lasted so long. 0 learns it never.

    Every `forecast_every_ms` a forecast is told, and every `score_every_ms` the score; 0 tells none.
    """

    smooth_ms: NotNegative = 0.0
    memory_ms: NotNegative = 0.0
    least_sigma: Positive = 0.1
    probation_ms: NotNegative = 0.0
    learn_after_ms: NotNegative = 0.0
    hold_ms: NotNegative = 0.0
    refractory_ms: NotNegative = 0.0
    most: Annotated[float, Meta(gt=0)] = 50.0
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


class Alarms:
    """The fold: the memory is a running distribution of errors a channel, and what is up."""

    delay = 0

    def __init__(self, config: AlarmConfig, recognizer: Recognizer) -> None:
        """Raises ConfigError for a recognizer whose head makes no forecasts."""
        head = recognizer.config.head
        if not isinstance(head, ForecastConfig):
            raise ConfigError("kind: alarm takes forecasts; set `head: {kind: forecast}`, or take another decoder")
        self.enter, self.leave, self.min_frames = config.enter, config.leave, config.min_frames
        self.channels, self.steps = head.channels, head.steps
        self.units = np.array(recognizer.units or [(0.0, 1.0)] * head.channels, np.float64).T
        self.least, self.most = config.least_sigma, config.most
        frames = recognizer.frames
        self.window = max(1, frames(config.smooth_ms))
        self.memory, self.probation = frames(config.memory_ms), frames(config.probation_ms)
        self.learn_after = frames(config.learn_after_ms) or 2**60
        self.hold, self.refractory = frames(config.hold_ms), frames(config.refractory_ms)
        self.every = {
            name: max(1, frames(each)) if each else 0
            for name, each in (("score", config.score_every_ms), ("forecast", config.forecast_every_ms))
        }

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        count = self.channels
        return {
            "tail": np.zeros((batch, self.window - 1, count), np.float64),
            "frame": np.zeros(batch, np.int64),
            # Of the usual errors: how many were seen, up to the memory, their mean and their variance.
            "seen": np.zeros(batch, np.float64),
            "mean": np.zeros((batch, count), np.float64),
            "variance": np.zeros((batch, count), np.float64),
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
        errors = np.minimum(np.abs(self._sigmas(said)), self.most) * ready[:, :, None]
        means, tail = summed(errors, track["tail"])
        means /= self.window
        after = {name: array.copy() for name, array in track.items() if name != "tail"}
        after["tail"] = tail
        found: list[Found] = []
        for i in range(frames):
            scores = self._scores(means[:, i], after)
            self._learn(means[:, i], ready[:, i], scores, after)
            for row in np.flatnonzero((scores >= self.leave) | (after["opened"] >= 0) | (after["rose"] >= 0)):
                self._frame(int(row), float(scores[row]), said[row, i], after, found)
            self._report(scores, said[:, i], ready[:, i], after, found)
            after["frame"] += 1
        return sorted(found, key=lambda each: (each.row, each.frame)) if batch > 1 else found, after

    def finish(self, track: Track) -> list[Found]:
        """The alarms that are still up end with the stream, or where their score fell before it."""
        return [self._over(int(row), track) for row in np.flatnonzero(track["opened"] >= 0)]

    def _scores(self, means: Part, track: Track) -> Part:
        """(batch, channels) -> (batch,), of the channel that is farthest from its usual errors; 0 on probation."""
        above = means
        if self.memory:
            above = (means - track["mean"]) / np.maximum(np.sqrt(track["variance"]), self.least)
        worst = np.maximum(above.max(axis=1), 0.0)
        # Nothing is unusual before anything is usual.
        known = (track["seen"] >= 2) | (not self.memory)
        scores: Part = np.where(known & (track["frame"] >= self.probation), worst / (worst + _HALF), 0.0)
        return scores

    def _learn(self, means: Part, ready: NDArray[np.bool_], scores: Part, track: Track) -> None:
        """Let the distribution move by what is usual; `track` is ours to write."""
        if not self.memory:
            return
        lasts = np.where(track["rose"] >= 0, track["frame"] - track["rose"], 0)
        learns = ready & ((scores < self.leave) | (lasts >= self.learn_after))
        track["seen"] += learns
        np.minimum(track["seen"], self.memory, out=track["seen"])
        weight = (learns / np.maximum(track["seen"], 1.0))[:, None]
        deviation = np.maximum(np.sqrt(track["variance"]), self.least)
        # While it is young the distribution takes what comes; later one far error must not make others look near.
        most = np.where(track["seen"][:, None] <= max(2, self.probation), np.inf, _CLIP * deviation)
        step = np.minimum(means - track["mean"], most)
        track["mean"] += weight * step
        track["variance"] += weight * ((1.0 - weight) * step * step - track["variance"])

    def _frame(self, row: int, score: float, said: Part, track: Track, found: list[Found]) -> None:
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
            found.append(Raised(row, "alarm", 0, start, frame + 1, frame, score, self._blame(said)))
        if score < self.leave:
            track["rose"][row] = -1

    def _over(self, row: int, track: Track) -> Found:
        """All of an alarm that was up, as a segment."""
        frame, fell = int(track["frame"][row]), int(track["fell"][row])
        end = fell if fell >= 0 else frame
        return Found(row, "segment", 0, int(track["opened"][row]), end, frame, float(track["best"][row]))

    def _sigmas(self, said: Part) -> Part:
        """(..., columns) -> (..., channels): how far what was seen lies from what was expected, in its deviations."""
        count = self.channels
        expected, deviation, seen = (said[..., 2 + i * count : 2 + (i + 1) * count] for i in range(3))
        far: Part = (seen - expected) / np.maximum(deviation, 1e-6)
        return far

    def _blame(self, said: Part) -> tuple[Blame, ...]:
        """The channels by how far they are from what was expected."""
        count, sigmas = self.channels, self._sigmas(said)
        expected, seen = (self._in_units(said[2 + i * count : 2 + (i + 1) * count]) for i in (0, 2))
        order = np.argsort(-np.abs(sigmas), kind="stable")[:_BLAMED]
        return tuple(Blame(int(i), _told(expected[i]), _told(seen[i]), round(float(sigmas[i]), 2)) for i in order)

    def _in_units(self, values: Part) -> Part:
        """As the source has them."""
        own: Part = values * self.units[1] + self.units[0]
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
        count = self.channels
        values = self._in_units(said[2 + 3 * count : 2 + 4 * count])
        spread = said[2 + 4 * count : 2 + 5 * count] * self.units[1]
        return tuple(Expected(i, _told(values[i]), _told(spread[i])) for i in range(count))


def _told(value: float) -> float:
    """A value as it is published: to 5 digits."""
    return float(f"{value:.5g}")
