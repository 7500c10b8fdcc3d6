"""Alarms judged on recordings as they are: by the benchmark's score, by sequences, by points, and at all thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamrnn import decoders
from streamrnn.engine import Serving
from streamrnn.errors import RecordingError
from streamrnn.evaluation import intervals, nab
from streamrnn.evaluation.anomalies import Points, Sequences, document, points, sequences
from streamrnn.evaluation.matching import Interval, match_alarms
from streamrnn.evaluation.nab import Series
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.run import Stream, said_in
from streamrnn.evaluation.sweep import COARSE, swept, thresholds
from streamrnn.operating import Det, Point
from streamrnn.watching import WatchConfig

_WHOLE = "all"


def judged(streams: Sequence[Stream]) -> dict[str, Any]:
    """Of all streams, each split and each group: the score of the benchmark by profile, sequences and points.

    The benchmark's score is left out where no anomaly is labelled.
    """
    groups: dict[str, list[Stream]] = {_WHOLE: list(streams)}
    for stream in streams:
        recording = stream.recording
        if isinstance(recording, Recording):
            split = f"split {recording.split}" if recording.split else ""
            for name in (split, recording.group):
                if name:
                    groups.setdefault(name, []).append(stream)
    return {name: _of(those) for name, those in groups.items()}


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    written = []
    for name, group in found.items():
        scored = ", ".join(f"{profile} {value:.3f}" for profile, value in group.get("nab", {}).items())
        seen, by_point = group["sequences"], group["points"]
        if scored:
            written.append(f"  {name}: {'NAB':<{max(1, 28 - len(name))}} {scored}")
        written.append(
            f"  {name}: {'sequences':<{max(1, 28 - len(name))}} precision {seen['precision']:.1%}, recall "
            f"{seen['recall']:.1%} ({seen['found']} found, {seen['false']} false, {seen['missed']} missed)"
        )
        written.append(
            f"  {name}: {'points':<{max(1, 28 - len(name))}} F1 {by_point['f1']:.3f}, false alarm rate "
            f"{by_point['false_alarm_rate']:.2%}, missed alarm rate {by_point['missed_alarm_rate']:.1%}"
        )
    return written


def _of(streams: Sequence[Stream]) -> dict[str, Any]:
    corpus: list[Series] = []
    told = {}
    by_sequence, by_point = Sequences(), Points()
    for place, stream in enumerate(streams):
        rate, length = stream.recording.rate, stream.recording.length
        said = sorted(_spans(stream.said, rate))
        series = Series(str(place), length, tuple((start, end - 1) for start, end in said))
        corpus.append(series)
        told[series.name] = np.zeros(length, np.bool_)
        # The row in which an alarm was raised is the one that counts, not where it is said to have begun.
        rows = [min(length, round(each * rate)) - 1 for each in stream.decided]
        told[series.name][rows] = True
        heard = _spans(stream.extents, rate)
        by_sequence += sequences(said, heard)
        by_point += points(said, heard, length)
    found = document(by_sequence, by_point)
    return {"nab": nab.scores(corpus, told), **found} if any(series.windows for series in corpus) else found


def _spans(stretches: Sequence[Interval], rate: int) -> list[tuple[int, int]]:
    return [(round(each.start * rate), round(each.end * rate)) for each in stretches]


def measure(
    serving: Serving, recordings: Sequence[Recording], heard: Callable[[float], object] = lambda seconds: None
) -> Det:
    """The DET of a bundle's alarms over recordings as they are: a stream's own past is its measure.

    A false accept is an alarm outside of every labelled anomaly, a miss an anomaly without one; recordings without
    anomalies are the negatives. Raises RecordingError where no anomaly is labelled.
    """
    config = serving.recognizer.config.decoder
    assert isinstance(config, WatchConfig)
    words = {each.path: said_in(each, serving.recognizer.config) for each in recordings}
    if not any(words.values()):
        raise RecordingError("no anomaly is labelled in the data; without one nobody knows what a threshold misses")
    configs = thresholds(config, COARSE)
    places = {(each.path, each.span): place for place, each in enumerate(recordings)}
    false, missed = (np.zeros((len(configs), len(recordings)), np.int64) for _ in range(2))
    for one in swept(serving, recordings, configs, heard):
        assert isinstance(one.stream, Recording)
        place, said = places[one.stream.path, one.stream.span], said_in(one.stream, serving.recognizer.config)
        for i, events in enumerate(one.heard):
            matching = match_alarms(said, [Interval(h.start / h.rate, h.end / h.rate, h.label) for h in events])
            false[i, place], missed[i, place] = len(matching.false), len(matching.missed)
    hours = [each.seconds / 3600 for each in recordings]
    with_some = [place for place, each in enumerate(recordings) if words[each.path]]
    said_count = [len(words[recordings[place].path]) for place in with_some]
    rates = intervals.rates(false, hours)
    shares = intervals.shares(missed[:, with_some], said_count)
    found = [
        Point(
            enter=each.enter,
            leave=each.leave,
            false_accepts=int(false[i].sum()),
            per_hour=float(false[i].sum()) / sum(hours),
            per_hour_low=rates[i][0],
            per_hour_high=rates[i][1],
            missed=int(missed[i].sum()),
            miss_rate=float(missed[i].sum()) / sum(said_count),
            miss_low=shares[i][0],
            miss_high=shares[i][1],
        )
        for i, each in enumerate(configs)
    ]
    sources: dict[str, float] = {}
    for each in recordings:
        name = each.path.parent.name
        sources[name] = sources.get(name, 0.0) + each.seconds
    minutes = sum(hours) * 60
    return Det(sum(said_count), sum(hours), minutes, sources, tuple(found), decoders.beside_thresholds(configs[0]))
