"""A decoder's thresholds swept over streams: the network runs once, the decoder as often as there are thresholds."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from streamrnn import decoders
from streamrnn.decoders import Decoder, SmoothedConfig
from streamrnn.engine import Serving
from streamrnn.errors import ConfigError, RecordingError
from streamrnn.evaluation import intervals
from streamrnn.evaluation.composing import Composed, distinct_seconds
from streamrnn.evaluation.matching import Interval, match
from streamrnn.evaluation.playable import Playable
from streamrnn.evaluation.playing import posteriors_together
from streamrnn.evaluation.run import said_in
from streamrnn.events import Heard
from streamrnn.operating import Det, Point
from streamrnn.pool import is_real, told
from streamrnn.recognizer import Recognizer
from streamrnn.resampling import to_source
from streamrnn.watching import WatchConfig

# Streams at a time: more are hardly faster, and each holds a scene in memory.
_ROWS = 8


def _spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    """Numbers from `low` to `high`, evenly spaced in their logits."""
    first, last = (math.log(each / (1 - each)) for each in (low, high))
    return tuple((1 / (1 + np.exp(-np.linspace(first, last, count)))).tolist())


COARSE = _spaced(0.02, 0.9999, 40)
# Where budgets lie posteriors are crowded, most of all after training with label smoothing: from this many false
# accepts an hour on there are thresholds in between, found on a share of the streams.
_MANY_PER_HOUR, _FINE = 30.0, 28
_PILOT = 0.2


@dataclass(frozen=True, slots=True)
class Swept:
    """A stream and what was heard in it by each of the decoders, in their order."""

    stream: Playable
    heard: tuple[tuple[Heard, ...], ...]


def thresholds(config: SmoothedConfig, enters: Sequence[float] = COARSE) -> list[SmoothedConfig]:
    """The decoder at some thresholds, each with the `leave / enter` that it was written with."""
    ratio = config.leave / config.enter
    return [
        msgspec.structs.replace(config, enter=enter, leave=enter * ratio, max_false_accepts_per_hour=0.0)
        for enter in enters
    ]


def swept(
    serving: Serving,
    streams: Sequence[Playable],
    configs: Sequence[SmoothedConfig],
    heard: Callable[[float], object] = lambda seconds: None,
) -> Iterator[Swept]:
    """What each decoder hears in each stream, stream by stream as they end, with those of one rate and length together.

    It is what the engine would say with that decoder: posteriors go through every decoder as they come, and none stay.
    `heard` is told of the seconds of streams heard since it was told last. Raises RecordingError where samples cannot
    be read.
    """
    folds = [decoders.build(config, serving.recognizer) for config in configs]
    alike: dict[tuple[int, int], list[Playable]] = defaultdict(list)
    for stream in streams:
        alike[stream.rate, stream.length].append(stream)
    for together in alike.values():
        for start in range(0, len(together), _ROWS):
            yield from _batch(serving, together[start : start + _ROWS], folds, heard)


def measure(
    serving: Serving,
    streams: Sequence[Composed],
    folders: Sequence[Path] = (),
    heard: Callable[[float], object] = lambda seconds: None,
) -> Det:
    """The DET of a bundle's own decoder over composed streams; `heard` is told of every part of `to_be_heard` seconds.

    A false accept is whatever is heard and hits no word, a confusion too; a miss is a word that nothing hits. How their
    intervals are made stands in `evaluation.intervals`. Raises RecordingError without words, ConfigError for a decoder
    without thresholds.
    """
    config = serving.recognizer.config.decoder
    if not isinstance(config, SmoothedConfig):
        raise ConfigError(f"decoder {config.__struct_config__.tag}: has no enter and leave to sweep")
    if not any(stream.words for stream in streams):
        raise RecordingError("no word of the bundle is in the data; give recordings of its labels too")
    rough = _tally(serving, _pilot(streams), thresholds(config), heard)
    configs = thresholds(
        config, _refined([count.total() for count in rough.false], sum(rough.exposure.values()) / 3600)
    )
    return _det(configs, _tally(serving, streams, configs, heard), distinct_seconds(streams, folders))


def to_be_heard(streams: Sequence[Composed]) -> float:
    """The seconds of streams that `measure` hears: a share of them twice."""
    return sum(stream.seconds for stream in (*_pilot(streams), *streams))


def _pilot(streams: Sequence[Composed]) -> Sequence[Composed]:
    return streams[: math.ceil(_PILOT * len(streams))]


def _refined(false: Sequence[int], hours: float) -> list[float]:
    """Some of the coarse thresholds, fewer where nobody would want to be, and finer ones between many and none."""
    many = max((i for i, count in enumerate(false) if count > _MANY_PER_HOUR * hours), default=0)
    # One further: what a share of the streams shows none of, all of them may show.
    none = min(next((i for i, count in enumerate(false) if not count), len(COARSE)) + 1, len(COARSE) - 1)
    return sorted({*COARSE[:many:4], *COARSE[many::2], COARSE[-1], *_spaced(COARSE[many], COARSE[none], _FINE)})


@dataclass(frozen=True, slots=True)
class _Tally:
    """Counts by the key of the source: seconds, words, and of each decoder false accepts and misses."""

    exposure: dict[int, float]
    said: Counter[int]
    false: list[Counter[int]]
    missed: list[Counter[int]]


def _tally(
    serving: Serving,
    streams: Sequence[Composed],
    configs: Sequence[SmoothedConfig],
    heard: Callable[[float], object],
) -> _Tally:
    composed = {stream.path: stream for stream in streams}
    tally = _Tally(defaultdict(float), Counter(), [Counter() for _ in configs], [Counter() for _ in configs])
    for each in swept(serving, streams, configs, heard):
        stream = composed[each.stream.path]
        for key, seconds in stream.exposure.items():
            tally.exposure[key] += seconds
        tally.said.update(cut.source.key for cut in stream.words)
        words = said_in(stream, serving.recognizer.config)
        for i, events in enumerate(each.heard):
            matching = match(words, [Interval(h.start / h.rate, h.end / h.rate, h.label) for h in events])
            tally.false[i].update(stream.source(events[h].start, events[h].end).key for h in matching.false)
            tally.missed[i].update(stream.words[s].source.key for s in matching.missed)
    return tally


def _det(configs: Sequence[SmoothedConfig], tally: _Tally, sources: dict[str, float]) -> Det:
    said, hours = tally.said, [seconds / 3600 for seconds in tally.exposure.values()]
    false_table = np.array([[count[key] for key in tally.exposure] for count in tally.false], np.int64)
    missed_table = np.array([[count[key] for key in said] for count in tally.missed], np.int64)
    rates, shares = intervals.rates(false_table, hours), intervals.shares(missed_table, list(said.values()))
    points = []
    for i, config in enumerate(configs):
        accepted, lost = int(false_table[i].sum()), int(missed_table[i].sum())
        points.append(
            Point(
                enter=config.enter,
                leave=config.leave,
                false_accepts=accepted,
                per_hour=accepted / sum(hours),
                per_hour_low=rates[i][0],
                per_hour_high=rates[i][1],
                missed=lost,
                miss_rate=lost / said.total(),
                miss_low=shares[i][0],
                miss_high=shares[i][1],
            )
        )
    minutes = sum(sources.values()) / 60
    return Det(said.total(), sum(hours), minutes, sources, tuple(points), decoders.beside_thresholds(configs[0]))


def _batch(
    serving: Serving, streams: Sequence[Playable], folds: Sequence[Decoder], heard: Callable[[float], object]
) -> Iterator[Swept]:
    events: list[tuple[int, int, Heard]] = []
    rate, length = streams[0].rate, streams[0].length
    recognizer: Recognizer = serving.recognizer
    samples = to_source(length, recognizer.rate, rate)
    # An alarm is told when it is raised and, as a segment, when it is over.
    kinds = ("alarm",) if isinstance(recognizer.config.decoder, WatchConfig) else ("detection", "segment")
    tracks = [fold.initial_track(len(streams)) for fold in folds]

    def keep(i: int, found: list[decoders.Found]) -> None:
        events.extend(
            (each.row, i, body)
            for each in found
            if is_real(each, recognizer.hop, samples) and each.kind in kinds
            for body in [told(each, recognizer, rate, (0, length))[1]]
            if isinstance(body, Heard)
        )

    for said in posteriors_together(serving, streams):
        for i, fold in enumerate(folds):
            found, tracks[i] = fold(said, tracks[i])
            keep(i, found)
        heard(said.shape[0] * said.shape[1] / recognizer.frame_rate)
    for i, fold in enumerate(folds):
        keep(i, fold.finish(tracks[i]))
    sorted_out: list[list[list[Heard]]] = [[[] for _ in folds] for _ in streams]
    for row, i, body in events:
        sorted_out[row][i].append(body)
    for stream, each_fold in zip(streams, sorted_out, strict=True):
        yield Swept(stream, tuple(tuple(of_one) for of_one in each_fold))
