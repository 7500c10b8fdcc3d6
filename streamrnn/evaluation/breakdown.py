"""The same figures part by part: of each label, speaker, noise, hour, and of what lay under the false accepts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streamrnn.evaluation import metrics
from streamrnn.evaluation.confusion import of_frames
from streamrnn.evaluation.matching import Interval
from streamrnn.evaluation.metrics import Estimate
from streamrnn.evaluation.playable import Noise, Segment
from streamrnn.evaluation.run import Clip, Frames, Result, Stream

UNLABELLED = "(nothing labelled)"
HOUR_S = 3600.0


def clips_right(clips: Sequence[Clip]) -> Estimate:
    """The share of clips that the clip rule calls right. Raises ValueError for none."""
    return metrics.share(sum(metrics.clip_is_right(clip.said, clip.heard) for clip in clips), len(clips))


def missed(streams: Iterable[Stream]) -> Estimate:
    """The share of words that were missed. Raises ValueError if none was said."""
    said = [(len(stream.matching.missed), len(stream.said)) for stream in streams]
    return metrics.share(sum(count for count, _ in said), sum(of for _, of in said))


def labels(result: Result) -> dict[str, dict[str, float]]:
    """Of each label: how often it was said and missed, and falsely heard in streams; its F1 in frames."""
    said: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for stream in (*result.words, *result.streams):
        said.update(interval.label for interval in stream.said)
        gone.update(stream.said[s].label for s in stream.matching.missed)
    for stream in result.streams:
        false.update(stream.heard[h].label for h in stream.matching.false)
    found: dict[str, dict[str, float]] = {}
    for label in sorted({*said, *false}):
        found[label] = {"said": said[label], "missed": gone[label], "false_accepts": false[label]}
        if said[label]:
            rate = metrics.share(gone[label], said[label])
            found[label] |= {"miss_rate": rate.value, "miss_low": rate.low, "miss_high": rate.high}
    for label, score in metrics.class_scores(of_frames(result.frames)).items():
        found.setdefault(label, {}).update(
            frames=score.said, precision=score.precision, recall=score.recall, f1=score.f1
        )
    return found


def groups(result: Result) -> dict[str, dict[str, Any]]:
    """Of each speaker or subject that is named: its own accuracy, miss rate and share of frames."""
    clips: dict[str, list[Clip]] = defaultdict(list)
    streams: dict[str, list[Stream]] = defaultdict(list)
    frames: dict[str, list[Frames]] = defaultdict(list)
    for clip in result.clips:
        clips[clip.recording.group].append(clip)
    for stream in result.streams:
        if stream.said:
            streams[stream.recording.group].append(stream)
    for each in result.frames:
        if each.confusion:
            frames[each.recording.group].append(each)
    found: dict[str, dict[str, Any]] = {}
    for group in sorted({*clips, *streams, *frames} - {""}):
        estimates: dict[str, Estimate] = {}
        if clips[group]:
            estimates["accuracy"] = clips_right(clips[group])
        if streams[group]:
            estimates["miss_rate"] = missed(streams[group])
        if frames[group]:
            confusions = [each.confusion for each in frames[group]]
            estimates["frame_accuracy"] = metrics.over_recordings(confusions, lambda c: metrics.accuracy(c).value)
        found[group] = {name: msgspec.to_builtins(estimate) for name, estimate in estimates.items()}
    return found


def noises(result: Result) -> dict[str, dict[str, Any]]:
    """Of each noise and ratio that a `noise.csv` names, the quietest first: miss rate, and false accepts of streams.

    A word or false accept belongs to what lies under its middle; what no line of the table covers belongs to none.
    """
    totals: dict[tuple[float, str], Counter[str]] = defaultdict(Counter)
    seconds: dict[tuple[float, str], float] = defaultdict(float)
    whole = {id(stream) for stream in result.streams}
    for stream in (*result.words, *result.streams):
        recording = stream.recording
        for noise in recording.noises if id(stream) in whole else ():
            seconds[-noise.snr_db, noise.name] += (noise.end - noise.start) / recording.rate
        for name, places in (("said", range(len(stream.said))), ("missed", stream.matching.missed)):
            for s in places:
                for key in _under(stream, stream.said[s]):
                    totals[key][name] += 1
        for h in stream.matching.false if id(stream) in whole else ():
            for key in _under(stream, stream.heard[h]):
                totals[key]["false"] += 1
    found: dict[str, dict[str, Any]] = {}
    for key in sorted({*totals, *seconds}):
        count = totals[key]
        part: dict[str, Any] = {"seconds": round(seconds[key], 3)}
        if count["said"]:
            part["miss_rate"] = msgspec.to_builtins(metrics.share(count["missed"], count["said"]))
        if seconds[key]:
            rate = metrics.rate_per_hour(count["false"], seconds[key] / HOUR_S)
            part["false_accepts_per_hour"] = msgspec.to_builtins(rate)
        found[noise_name(-key[0], key[1])] = part
    return found


def noise_name(snr_db: float, name: str) -> str:
    """`fan at 5 dB`, or `no noise`."""
    return "no noise" if math.isinf(snr_db) else f"{name} at {snr_db:g} dB"


def noise_under(stream: Stream, interval: Interval) -> str:
    """The name of what lies under the middle of an interval; "" if nobody says."""
    return next((noise_name(-loud, name) for loud, name in _under(stream, interval)), "")


def _under(stream: Stream, interval: Interval) -> list[tuple[float, str]]:
    middle = (interval.start + interval.end) / 2 * stream.recording.rate
    covers: list[Noise] = [noise for noise in stream.recording.noises if noise.start <= middle < noise.end]
    return [(-noise.snr_db, noise.name) for noise in covers[:1]]


def false_under(result: Result) -> dict[str, dict[str, Any]]:
    """What the data says was there when something was heard falsely in a stream: how often, and how an hour of it.

    A label of the data, also one that is only background; where the data says nothing, UNLABELLED.
    """
    count: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    for stream in result.streams:
        recording = stream.recording
        labelled = 0.0
        for segment in recording.segments:
            lasts = (segment.end - segment.start) / recording.rate
            seconds[segment.label] += lasts
            labelled += lasts
        seconds[UNLABELLED] += max(0.0, recording.seconds - labelled)
        for h in stream.matching.false:
            count[segment_under(stream, stream.heard[h], UNLABELLED)] += 1
    return {
        label: {
            "false_accepts": times,
            "seconds": round(seconds[label], 3),
            "an_hour": times * HOUR_S / seconds[label] if seconds[label] else 0.0,
        }
        for label, times in count.most_common()
    }


def segment_under(stream: Stream, interval: Interval, otherwise: str) -> str:
    """The label of the segment that an interval shares most with."""
    shared = [(_shared(stream, segment, interval), segment.label) for segment in stream.recording.segments]
    most, label = max(shared, default=(0.0, ""))
    return label if most > 0 else otherwise


def _shared(stream: Stream, segment: Segment, interval: Interval) -> float:
    rate = stream.recording.rate
    return min(segment.end / rate, interval.end) - max(segment.start / rate, interval.start)


def hours(result: Result) -> list[dict[str, Any]]:
    """Of each stream that is longer than an hour: recall and false accepts of every hour, the last perhaps a part."""
    return [
        {"path": str(stream.recording.path), "hours": hourly(stream)}
        for stream in result.streams
        if stream.recording.seconds > HOUR_S
    ]


def hourly(stream: Stream) -> list[dict[str, Any]]:
    """Recall and false accepts of every hour of a stream, with their intervals; the last may be a part of one."""
    rows, count = [], max(1, math.ceil(stream.recording.seconds / HOUR_S))

    def of(place: float) -> int:
        # What the end brings out lies a little behind it.
        return min(count - 1, int(place // HOUR_S))

    for hour in range(count):
        lasts = min(HOUR_S, stream.recording.seconds - hour * HOUR_S)
        said = [s for s, interval in enumerate(stream.said) if of(interval.end) == hour]
        gone = set(said) & set(stream.matching.missed)
        false = [h for h in stream.matching.false if of(stream.heard[h].end) == hour]
        row: dict[str, Any] = {"hour": hour + 1, "seconds": round(lasts, 3)}
        if said:
            row["recall"] = msgspec.to_builtins(metrics.share(len(said) - len(gone), len(said)))
        row["false_accepts_per_hour"] = msgspec.to_builtins(metrics.rate_per_hour(len(false), lasts / HOUR_S))
        rows.append(row)
    return rows
