"""What is drawn of sensor recordings: the series, what was labelled and heard of it, what was expected, and alarms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.backends import Array
from streamrnn.decoders import SegmentsConfig
from streamrnn.engine import Serving
from streamrnn.evaluation.matching import Interval
from streamrnn.evaluation.playing import posteriors
from streamrnn.evaluation.run import Result, Stream
from streamrnn.recognizer import ForecastConfig
from streamrnn.resampling import to_source
from streamrnn.watching import WatchConfig, parts

_RECORDINGS = 3
_COLUMNS = 320  # of a picture: of more samples the least and the greatest are drawn
_CHANNELS = 3
_FASTEST_HZ = 2000  # what is faster is sound, of which nobody sees anything
_LONGEST = 5_000_000  # samples
_NEAR = 3.0  # a closer look reaches so many times as far as what it looks at

Values = NDArray[np.float64]


def drawn(serving: Serving, result: Result) -> list[dict[str, Any]]:
    """Views of the recordings in which most happens, as JSON: all of each and, of a long one, where something is.

    Nothing of recordings of sound, and of bundles whose decoder does not tell from when to when. Raises RecordingError.
    """
    if not isinstance(serving.recognizer.config.decoder, (SegmentsConfig, WatchConfig)):
        return []
    streams = [
        each
        for each in (*result.streams, *result.words, *result.labelled)
        if each.recording.rate <= _FASTEST_HZ and each.recording.length <= _LONGEST
    ]
    # The most labels first, and of those with as many the most events.
    streams.sort(key=lambda each: (-len(each.said), -len(each.heard)))
    return [view for stream in streams[:_RECORDINGS] for view in _views(serving, stream)]


def _views(serving: Serving, stream: Stream) -> list[dict[str, Any]]:
    recording = stream.recording
    samples = np.concatenate(list(recording.blocks(max(1, recording.length)))).astype(np.float64)
    lines = {f"channel {i}": samples[:, i] for i in range(min(_CHANNELS, samples.shape[1]))}
    band: dict[str, Values] = {}
    head = serving.recognizer.config.head
    if isinstance(head, ForecastConfig):
        said = posteriors(serving, recording)
        channel = _worst(serving, stream, said, head.channels)
        seen, band = _forecasts(serving, stream, said, channel)
        lines = {f"channel {channel}": seen}
    spans = [(0.0, recording.seconds)]
    if recording.length > 2 * _COLUMNS:
        spans += [_near(each, recording.seconds, _COLUMNS / recording.rate) for each in _interesting(stream)]
    return [_view(stream, span, lines, band) for span in spans]


def _view(
    stream: Stream, span: tuple[float, float], lines: dict[str, Values], band: dict[str, Values]
) -> dict[str, Any]:
    rate = stream.recording.rate
    first, end = (min(stream.recording.length, round(each * rate)) for each in span)
    edges = np.unique(np.linspace(first, end, min(_COLUMNS, end - first) + 1).round().astype(int))
    return {
        "path": str(stream.recording.path),
        "start_s": round(first / rate, 6),
        "end_s": round(end / rate, 6),
        "rate": rate,
        "at_s": [round(float(edge) / rate, 6) for edge in edges[:-1]],
        "lines": {name: _envelope(values, values, edges) for name, values in lines.items()},
        "band": _envelope(band["low"], band["high"], edges) if band else {},
        "said": _inside(stream.said, span),
        "heard": _inside(stream.extents if band else stream.heard, span),
        "alarms": [
            [round(told, 6), round(score, 4)]
            for told, score in zip(stream.decided, stream.scores, strict=True)
            if band and span[0] <= told <= span[1]
        ],
    }


def _inside(stretches: Sequence[Interval], span: tuple[float, float]) -> list[list[Any]]:
    """Start and end in seconds and label of those that reach into a span."""
    return [
        [round(max(each.start, span[0]), 6), round(min(each.end, span[1]), 6), each.label]
        for each in stretches
        if each.end > span[0] and each.start < span[1]
    ]


def _envelope(low: Values, high: Values, edges: NDArray[np.int64]) -> dict[str, list[float | None]]:
    """The least of one and the greatest of another between edges; None where there is nothing."""
    columns = [slice(start, max(end, start + 1)) for start, end in pairwise(edges)]
    return {
        "low": [_told(min(low[column], default=math.nan)) for column in columns],
        "high": [_told(max(high[column], default=math.nan)) for column in columns],
    }


def _told(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _interesting(stream: Stream) -> list[Interval]:
    """What a closer look is worth most: the first that was labelled, and the first that was heard elsewhere."""
    own = [each for each in stream.heard if not any(_meet(each, one) for one in stream.said)]
    return [*stream.said[:1], *own[:1]] or list(stream.heard[:1])


def _meet(one: Interval, other: Interval) -> bool:
    return one.start < other.end and other.start < one.end


def _near(what: Interval, seconds: float, least: float) -> tuple[float, float]:
    """Around it, at least `least` seconds, within the recording."""
    length = min(seconds, max(_NEAR * (what.end - what.start), least))
    start = min(max(0.0, (what.start + what.end - length) / 2), seconds - length)
    return start, start + length


def _worst(serving: Serving, stream: Stream, said: Array, channels: int) -> int:
    """The forecast channel that lies farthest off, in its deviations, in what is labelled; in all if nothing is."""
    expected, deviation, seen, _, _ = parts(said, channels)
    off = np.abs(seen - expected) / np.maximum(deviation, 1e-6) * (said[:, 1:2] > 0.5)
    frame_rate = serving.recognizer.frame_rate
    for each in stream.said[:1]:
        off = off[int(each.start * frame_rate) : max(1, math.ceil(each.end * frame_rate))]
    return int(np.argmax(off.mean(axis=0))) if len(off) else 0


def _forecasts(serving: Serving, stream: Stream, said: Array, channel: int) -> tuple[Values, dict[str, Values]]:
    """What was seen of a channel and the band of a deviation around what was expected, by sample of the recording."""
    recognizer, recording = serving.recognizer, stream.recording
    head = recognizer.config.head
    assert isinstance(head, ForecastConfig)
    mean, deviation = recognizer.units[channel] if recognizer.units else (0.0, 1.0)
    expected, spread, seen, _, _ = (each[:, channel] for each in parts(said, head.channels))
    known = said[:, 1] > 0.5
    low, high = (np.where(known, expected + sign * spread, np.nan) for sign in (-1.0, 1.0))
    frames = np.arange(len(said) + 1)
    starts = np.array([to_source(int(f) * recognizer.hop, recording.rate, recognizer.rate) for f in frames])
    place = np.clip(np.searchsorted(starts, np.arange(recording.length), "right") - 1, 0, max(0, len(said) - 1))
    of_sample = {name: (each * deviation + mean)[place] for name, each in (("low", low), ("high", high))}
    return (seen * deviation + mean)[place], of_sample
