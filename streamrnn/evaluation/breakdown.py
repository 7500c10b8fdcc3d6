"""The same figures part by part: of each label, speaker, noise, hour, and of what lay under the false accepts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from streamrnn.evaluation import metrics
from streamrnn.evaluation.confusion import of_frames
from streamrnn.evaluation.drift import drift
from streamrnn.evaluation.metrics import Estimate
from streamrnn.evaluation.run import Clip, Frames, Result, Stream
from streamrnn.evaluation.under import Under, noise_name

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
    for label, estimate in frame_f1(result.frames).items():
        found[label].update(f1_low=estimate.low, f1_high=estimate.high)
    return found


def frame_f1(frames: Sequence[Frames]) -> dict[str, Estimate]:
    """F1 of each label that was said in frames, with the interval that drawing the recordings anew gives."""
    confusions = [each.confusion for each in frames if each.confusion]
    return f1_by_label(confusions) if confusions else {}


def f1_by_label(confusions: Sequence[metrics.Confusion]) -> dict[str, Estimate]:
    """F1 of each label that was said, the confusions being units that are drawn anew. Raises ValueError for none."""

    def f1(label: str, confusion: metrics.Confusion) -> float:
        scores = metrics.class_scores(confusion)
        return scores[label].f1 if label in scores else 0.0

    said = sorted({said for confusion in confusions for (said, _), count in confusion.items() if count})
    return {label: metrics.over_recordings(confusions, partial(f1, label)) for label in said}


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
        under = Under(recording)
        for name, places in (("said", range(len(stream.said))), ("missed", stream.matching.missed)):
            for s in places:
                if there := under.noise(stream.said[s]):
                    totals[-there[0], there[1]][name] += 1
        for h in stream.matching.false if id(stream) in whole else ():
            if there := under.noise(stream.heard[h]):
                totals[-there[0], there[1]]["false"] += 1
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
        under = Under(recording)
        for h in stream.matching.false:
            count[under.segment(stream.heard[h], UNLABELLED)] += 1
    return {
        label: {
            "false_accepts": times,
            "seconds": round(seconds[label], 3),
            "an_hour": times * HOUR_S / seconds[label] if seconds[label] else 0.0,
        }
        for label, times in count.most_common()
    }


def hours(result: Result) -> list[dict[str, Any]]:
    """Of each stream that is longer than an hour what `by_hour` says."""
    return [by_hour(stream) for stream in result.streams if stream.recording.seconds > HOUR_S]


def by_hour(stream: Stream) -> dict[str, Any]:
    """A stream's `path`, its `hours` (`hourly`), and what they say of `drift` (`evaluation.drift`)."""
    rows = hourly(stream)
    whole = [row for row in rows if row["seconds"] > HOUR_S - 1]
    return {"path": str(stream.recording.path), "hours": rows, "drift": drift(whole)}


def hourly(stream: Stream) -> list[dict[str, Any]]:
    """Recall, false accepts and state norms of every hour of a stream; the last may be a part of one."""
    count = max(1, math.ceil(stream.recording.seconds / HOUR_S))

    def of(place: float) -> int:
        # What the end brings out lies a little behind it.
        return min(count - 1, int(place // HOUR_S))

    said = Counter(of(interval.end) for interval in stream.said)
    missed = Counter(of(stream.said[s].end) for s in stream.matching.missed)
    false = Counter(of(stream.heard[h].end) for h in stream.matching.false)
    rows = []
    for hour in range(count):
        lasts = min(HOUR_S, stream.recording.seconds - hour * HOUR_S)
        row: dict[str, Any] = {"hour": hour + 1, "seconds": round(lasts, 3)}
        if said[hour]:
            row["recall"] = msgspec.to_builtins(metrics.share(said[hour] - missed[hour], said[hour]))
        row["false_accepts_per_hour"] = msgspec.to_builtins(metrics.rate_per_hour(false[hour], lasts / HOUR_S))
        row["state_norms"] = stream.norms.between(hour * HOUR_S, (hour + 1) * HOUR_S)
        rows.append(row)
    return rows
