"""What a stream has never done before into alarms: values, levels and forecast errors that leave their own range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.decoders import Track, summed
from streamrnn.errors import ConfigError
from streamrnn.recognizer import AnchorConfig, NotNegative, Positive, Recognizer
from streamrnn.registry import register
from streamrnn.watching import Part, Watch, WatchConfig, parts

_HALF = 0.05  # of a range, beyond its end: a score of a half
# Where a stream has a season, its distance from itself one before is below this share of the mean over all of them.
_SEASONAL = 0.5
Spans = tuple[NotNegative, ...]


@register("decoder", "streamrnn.novelty:Novelty")
class NoveltyConfig(WatchConfig, frozen=True, tag="novelty"):
    """An alarm where a stream leaves the range that it has kept so far.

    Each channel is followed by several measures: what was seen, averaged over each of `levels_ms`, which may leave
    their ranges at either end, and how far it lay from what was expected, averaged over each of `errors_ms`, which may
    only become too large; 0 is the frame alone. A measure that lies `d` of its range beyond it is a score of
    `d / (d + 0.05)`, and the farthest one counts. Ranges, at least `least_range` wide, give way to what comes, and
    shrink by their width in `memory_ms`, or never where it is 0.

    A stream may also be held against itself a day or a week before: of `seasons_ms` each stream finds the one by which
    it differs least from itself, if there is one that makes the difference half of what it is by all of them. That
    difference, averaged over `smooth_ms`, is one measure more.

    How far the records of a noise lie apart depends little on what kind of noise it is, and the longer a stream was
    heard the rarer they are: so one threshold does for streams that have nothing in common.
    """

    smooth_ms: NotNegative = 0.0
    levels_ms: Spans = (0.0,)
    errors_ms: Spans = (0.0,)
    seasons_ms: tuple[Positive, ...] = ()
    memory_ms: NotNegative = 0.0
    least_range: Positive = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels_ms and not self.errors_ms:
            raise ConfigError("levels_ms, errors_ms: both are empty, which follows nothing; give a span to one of them")


class Novelty(Watch):
    """The fold: the memory is the range of each measure of each channel, and what is up."""

    def __init__(self, config: NoveltyConfig, recognizer: Recognizer) -> None:
        """Raises ConfigError for a recognizer whose head makes no forecasts."""
        super().__init__(config, recognizer)
        frames = recognizer.frames
        self.levels, self.errors = (
            [max(1, frames(each)) for each in spans] for spans in (config.levels_ms, config.errors_ms)
        )
        self.seasons = [max(1, frames(each)) for each in config.seasons_ms]
        self.smooth = max(1, frames(config.smooth_ms))
        self.longest = max([*self.levels, *self.errors, *(each + self.smooth for each in self.seasons)])
        self.memory, self.least = frames(config.memory_ms), config.least_range
        # The frame in which each measure first is one: all that it averages was seen, and had been forecast. Before an
        # anchor holds, values do not stand for the same.
        held = max(
            (each.frames - 1 for each in recognizer.config.features if isinstance(each, AnchorConfig)), default=0
        )
        first = [held + each - 1 for each in self.levels] + [held + self.steps + each - 1 for each in self.errors]
        seasons = [held + each + self.smooth - 1 for each in self.seasons]
        self.first = np.array(first + seasons)[:, None]
        # Of a season one is usual when another has passed.
        self.known = np.array(first + [place + each for place, each in zip(seasons, self.seasons, strict=True)])[
            :, None
        ]
        self.falls = (np.arange(len(self.first)) < len(self.levels))[:, None]

    def initial_track(self, batch: int) -> Track:
        """Memory of `batch` streams that have heard nothing."""
        ranges = (batch, len(self.first), self.channels)
        return {
            **super().initial_track(batch),
            "tail": np.zeros((batch, self.longest - 1, 2 * self.channels), np.float64),
            "low": np.zeros(ranges, np.float64),
            "high": np.zeros(ranges, np.float64),
            # How far the stream lies from itself each season before, in the mean.
            "apart": np.zeros((batch, len(self.seasons), self.channels), np.float64),
        }

    def _measures(self, said: Part, ready: NDArray[np.bool_], track: Track) -> NDArray[Any]:
        """(batch, frames, columns) -> (batch, frames, measures, channels)."""
        expected, _, seen = (self._straight(each) for each in parts(said, self.channels)[:3])
        errors = np.abs(seen - expected) * ready[:, :, None]
        values, tail = np.concatenate([seen, errors], axis=-1), track["tail"]
        means = []
        for place, spans in enumerate((self.levels, self.errors)):
            part = slice(place * self.channels, (place + 1) * self.channels)
            for each in spans:
                sums, _ = summed(values[..., part], tail[:, self.longest - each :, part])
                means.append(sums / each)
        joined = np.concatenate([tail, values], axis=1)
        count = self.smooth - 1 + values.shape[1]
        for each in self.seasons:
            now, before = (
                joined[:, joined.shape[1] - back - count :][:, :count, : self.channels] for back in (0, each)
            )
            differs = np.abs(now - before)
            sums, _ = summed(differs[:, self.smooth - 1 :], differs[:, : self.smooth - 1])
            means.append(sums / self.smooth)
        track["tail"] = joined[:, values.shape[1] :].copy()
        return np.stack(means, axis=2)

    def _scores(self, measures: Part, track: Track) -> Part:
        """(batch, measures, channels) -> (batch, channels), by the measure that is farthest beyond its range."""
        low, high = track["low"], track["high"]
        beyond = np.maximum(measures - high, np.where(self.falls, low - measures, 0.0))
        counts = track["frame"][:, None, None] > self.known
        if self.seasons:
            counts = counts & self._in_season(track)
        share = np.where(counts, np.maximum(beyond, 0.0), 0.0) / np.maximum(high - low, self.least)
        scores: Part = (share / (share + _HALF)).max(axis=1)
        return scores

    def _in_season(self, track: Track) -> NDArray[np.bool_]:
        """(batch, measures, channels): all but those of seasons that are not the stream's own."""
        begun = track["frame"][:, None, None] > self.first[-len(self.seasons) :]
        apart = np.where(begun, track["apart"], np.inf)
        mean = np.where(begun, track["apart"], 0.0).sum(axis=1) / np.maximum(begun.sum(axis=1), 1)
        own = (apart == apart.min(axis=1, keepdims=True)) & (apart < _SEASONAL * mean[:, None])
        always = np.ones((len(own), len(self.levels) + len(self.errors), self.channels), np.bool_)
        return np.concatenate([always, own], axis=1)

    def _learn(self, measures: Part, ready: NDArray[np.bool_], scores: Part, track: Track) -> None:
        """Ranges shrink a little, and take what came; `track` is ours to write."""
        low, high = track["low"], track["high"]
        shrinks = 0.5 * (high - low) / self.memory if self.memory else np.zeros_like(low)
        since = track["frame"][:, None, None] - self.first
        begins = since <= 0
        if self.seasons:
            those = slice(-len(self.seasons), None)
            count = np.clip(since[:, those] + 1, 1, self.memory or None)
            track["apart"] += np.where(since[:, those] >= 0, (measures[:, those] - track["apart"]) / count, 0.0)
        track["low"] = np.where(begins, measures, np.minimum(measures, low + shrinks))
        track["high"] = np.where(begins, measures, np.maximum(measures, high - shrinks))
