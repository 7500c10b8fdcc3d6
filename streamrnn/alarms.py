"""Forecast errors into alarms: how far they are from the stream's own usual ones."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamrnn.decoders import Track, summed
from streamrnn.recognizer import NotNegative, Positive, Recognizer
from streamrnn.registry import register
from streamrnn.watching import Part, Watch, WatchConfig

_HALF = 5.0  # sigmas beyond the usual that are a score of a half
# An error this many deviations above the usual one teaches the distribution no more than one at this distance.
_CLIP = 3.0


@register("decoder", "streamrnn.alarms:Alarms")
class AlarmConfig(WatchConfig, frozen=True, tag="alarm"):
    """An alarm once forecast errors are at `enter` for `min_frames`; over when below `leave` for `hold_ms`.

    An error is how far what was seen lies from what was expected, in deviations of the forecast, averaged over
    `smooth_ms`. It is measured against the errors of the stream's own past: their mean and deviation, no less than
    `least_sigma`, over some `memory_ms` (an exponential mean; 0 takes the forecast at its word). `s` deviations above
    the mean are a score of `s / (s + 5)`.

    What is at `leave` or above teaches the distribution nothing for `learn_after_ms`: an anomaly is not learnt as usual
    before it has lasted so long. 0 learns it never.
    """

    smooth_ms: NotNegative = 0.0
    memory_ms: NotNegative = 0.0
    least_sigma: Positive = 0.1
    learn_after_ms: NotNegative = 0.0
    most: Annotated[float, Meta(gt=0)] = 50.0


class Alarms(Watch):
    """The fold: the memory is a running distribution of errors a channel, and what is up."""

    def __init__(self, config: AlarmConfig, recognizer: Recognizer) -> None:
        """Raises ConfigError for a recognizer whose head makes no forecasts."""
        super().__init__(config, recognizer)
        self.least, self.most = config.least_sigma, config.most
        frames = recognizer.frames
        self.window, self.memory = max(1, frames(config.smooth_ms)), frames(config.memory_ms)
        self.learn_after = frames(config.learn_after_ms) or 2**60

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        count = self.channels
        return {
            **super().initial_track(batch),
            "tail": np.zeros((batch, self.window - 1, count), np.float64),
            # Of the usual errors: how many were seen, up to the memory, their mean and their variance.
            "seen": np.zeros(batch, np.float64),
            "mean": np.zeros((batch, count), np.float64),
            "variance": np.zeros((batch, count), np.float64),
        }

    def _measures(self, said: Part, ready: NDArray[np.bool_], track: Track) -> NDArray[Any]:
        """(batch, frames, columns) -> (batch, frames, channels): running means of the errors."""
        errors = np.minimum(np.abs(self._sigmas(said)), self.most) * ready[:, :, None]
        means, track["tail"] = summed(errors, track["tail"])
        means /= self.window
        return means

    def _scores(self, means: Part, track: Track) -> Part:
        """(batch, channels) -> the same shape: how far each is above its usual errors; 0 before any is usual."""
        above = means
        if self.memory:
            above = (means - track["mean"]) / np.maximum(np.sqrt(track["variance"]), self.least)
        above = np.maximum(above, 0.0)
        # Nothing is unusual before anything is usual.
        known = (track["seen"] >= 2) | (not self.memory)
        scores: Part = np.where(known[:, None], above / (above + _HALF), 0.0)
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
