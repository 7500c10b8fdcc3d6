"""What a stream has never done before into alarms: values, levels and forecast errors that leave their own range."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streamrnn.decoders import Track, summed
from streamrnn.recognizer import NotNegative, Positive, Recognizer
from streamrnn.registry import register
from streamrnn.watching import Part, Watch, WatchConfig

_HALF = 0.05  # of a range, beyond its end: a score of a half
Spans = Annotated[tuple[NotNegative, ...], Meta(min_length=1)]


@register("decoder", "streamrnn.novelty:Novelty")
class NoveltyConfig(WatchConfig, frozen=True, tag="novelty"):
    """An alarm where a stream leaves the range that it has kept so far.

    Each channel is followed by several measures: what was seen, averaged over each of `levels_ms`, which may leave
    their ranges at either end, and how far it lay from what was expected, averaged over each of `errors_ms`, which may
    only become too large; 0 is the frame alone. A measure that lies `d` of its range beyond it is a score of
    `d / (d + 0.05)`, and the farthest one counts. Ranges, at least `least_range` wide, give way to what comes, and
    shrink by their width in `memory_ms`, or never where it is 0.

    How far the records of a noise lie apart depends little on what kind of noise it is, and the longer a stream was
    heard the rarer they are: so one threshold does for streams that have nothing in common.
    """

    levels_ms: Spans = (0.0,)
    errors_ms: Spans = (0.0,)
    memory_ms: NotNegative = 0.0
    least_range: Positive = 0.01


class Novelty(Watch):
    """The fold: the memory is the range of each measure of each channel, and what is up."""

    def __init__(self, config: NoveltyConfig, recognizer: Recognizer) -> None:
        """Raises ConfigError for a recognizer whose head makes no forecasts."""
        super().__init__(config, recognizer)
        frames = recognizer.frames
        self.levels, self.errors = (
            [max(1, frames(each)) for each in spans] for spans in (config.levels_ms, config.errors_ms)
        )
        self.longest = max(*self.levels, *self.errors)
        self.memory, self.least = frames(config.memory_ms), config.least_range
        # The frame in which each measure first is one: all that it averages was seen, and had been forecast.
        first = [each - 1 for each in self.levels] + [self.steps + each - 1 for each in self.errors]
        self.first = np.array(first)[:, None]
        self.falls = (np.arange(len(first)) < len(self.levels))[:, None]

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        ranges = (batch, len(self.first), self.channels)
        return {
            **super().initial_track(batch),
            "tail": np.zeros((batch, self.longest - 1, 2 * self.channels), np.float64),
            "low": np.zeros(ranges, np.float64),
            "high": np.zeros(ranges, np.float64),
        }

    def _measures(self, said: Part, ready: NDArray[np.bool_], track: Track) -> NDArray[Any]:
        """(batch, frames, columns) -> (batch, frames, measures, channels)."""
        expected, _, seen = (self._straight(each) for each in self._parts(said))
        errors = np.abs(seen - expected) * ready[:, :, None]
        values, tail = np.concatenate([seen, errors], axis=-1), track["tail"]
        means = []
        for place, spans in enumerate((self.levels, self.errors)):
            part = slice(place * self.channels, (place + 1) * self.channels)
            for each in spans:
                sums, _ = summed(values[..., part], tail[:, self.longest - each :, part])
                means.append(sums / each)
        track["tail"] = np.concatenate([tail, values], axis=1)[:, values.shape[1] :].copy()
        return np.stack(means, axis=2)

    def _scores(self, measures: Part, track: Track) -> Part:
        """(batch, measures, channels) -> (batch, channels), by the measure that is farthest beyond its range."""
        low, high = track["low"], track["high"]
        beyond = np.maximum(measures - high, np.where(self.falls, low - measures, 0.0))
        begun = track["frame"][:, None, None] > self.first
        share = np.where(begun, np.maximum(beyond, 0.0), 0.0) / np.maximum(high - low, self.least)
        scores: Part = (share / (share + _HALF)).max(axis=1)
        return scores

    def _learn(self, measures: Part, ready: NDArray[np.bool_], scores: Part, track: Track) -> None:
        """Ranges shrink a little, and take what came; `track` is ours to write."""
        low, high = track["low"], track["high"]
        shrinks = 0.5 * (high - low) / self.memory if self.memory else np.zeros_like(low)
        begins = track["frame"][:, None, None] <= self.first
        track["low"] = np.where(begins, measures, np.minimum(measures, low + shrinks))
        track["high"] = np.where(begins, measures, np.maximum(measures, high - shrinks))
