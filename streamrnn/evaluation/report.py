"""What a bundle's judgement says: one JSON document, and its lines for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from streamrnn.engine import Serving
from streamrnn.evaluation import metrics
from streamrnn.evaluation.metrics import Confusion, Estimate
from streamrnn.evaluation.recordings import LeftOut
from streamrnn.evaluation.run import Clip, Frames, Result, Stream

NOTHING, SEVERAL = "(nothing)", "(several)"
_WRONG_SHOWN = 20

# What people read, in its order; the name in the JSON, what it is, and how it is written.
_TITLES = {
    "accuracy": ("clips right", "{:.1%}"),
    "clip_accuracy": ("highest mean posterior right", "{:.1%}"),
    "miss_rate": ("words missed", "{:.1%}"),
    "false_accepts_per_hour": ("false accepts an hour", "{:.2f}"),
    "frame_accuracy": ("frames right", "{:.1%}"),
    "macro_f1": ("macro F1", "{:.3f}"),
}


def report(result: Result, serving: Serving, split: str, left_out: Sequence[LeftOut]) -> dict[str, Any]:
    """The judgement as a JSON document.

    At its top level, as far as they apply: `accuracy` (the share of clips right by the clip rule, or of frames where
    there are no clips but labelled samples), `clip_accuracy` (plain clip classification), `miss_rate`,
    `false_accepts_per_hour` (of the streams, not the clips), `frame_accuracy` and `macro_f1`; `estimates` has each with
    its interval and count.
    """
    estimates = _estimates(result)
    streams = (*result.words, *result.streams)
    judged = [stream.recording for stream in streams] + [each.recording for each in result.frames]
    confusions = {
        "clips": _clip_confusion(result.clips),
        "streams": _stream_confusion(result.streams),
        "frames": _frame_confusion(result.frames),
    }
    return {
        "bundle": {"name": serving.name, "sha": serving.sha},
        "split": split,
        "recordings": len(judged),
        "seconds": round(sum(recording.seconds for recording in judged), 3),
        **{name: estimate.value for name, estimate in estimates.items()},
        "measured_on": {name: _measured_on(name, result) for name in estimates},
        "estimates": {name: msgspec.to_builtins(estimate) for name, estimate in estimates.items()},
        "delay_s": metrics.quantiles([delay for stream in streams for delay in stream.delays]),
        "labels": _labels(result),
        "groups": _groups(result),
        "confusion": {name: _nested(confusion) for name, confusion in confusions.items() if confusion},
        "wrong_clips": [
            {"path": str(clip.recording.path), "said": clip.said, "heard": list(clip.heard), "plain": clip.plain}
            for clip in result.clips
            if not metrics.clip_is_right(clip.said, clip.heard)
        ],
        "left_out": [{"path": str(each.path), "reason": each.reason} for each in left_out],
    }


def lines(document: dict[str, Any]) -> list[str]:
    """A report as text for people, a line each."""
    where = f"split {document['split']}" if document["split"] else "all splits"
    head = f"{document['bundle']['name']} ({document['bundle']['sha'][:12]}) on {document['recordings']} recordings"
    written = [f"{head}, {document['seconds'] / 60:.1f} min, {where}"]
    for name, (title, form) in _TITLES.items():
        if name in document["estimates"] and (name, document["measured_on"][name]) != ("accuracy", "frames"):
            written.append(f"  {title:<30} {value_line(form, document['estimates'][name])}")
    if document["delay_s"]:
        delays = ", ".join(f"{name} {value:+.2f} s" for name, value in document["delay_s"].items())
        written.append(f"  {'decided after the word by':<30} {delays}")
    for group, estimates in document["groups"].items():
        for name, estimate in estimates.items():
            title, form = _TITLES[name]
            written.append(f"  {group}: {title:<{max(1, 28 - len(group))}} {value_line(form, estimate)}")
    for wrong in document["wrong_clips"][:_WRONG_SHOWN]:
        heard = ", ".join(wrong["heard"]) or "nothing"
        written.append(f"  wrong: {wrong['path']} is {wrong['said']}, heard {heard}")
    more = len(document["wrong_clips"]) - _WRONG_SHOWN
    if more > 0:
        written.append(f"  and {more} more, all in --json")
    return written + [f"  left out: {each['reason']}" for each in document["left_out"]]


def value_line(form: str, estimate: dict[str, Any]) -> str:
    """`97.0% (93.6% to 98.6%; 194 of 200)`."""
    value, low, high = (form.format(estimate[key]) for key in ("value", "low", "high"))
    of = estimate["of"]
    return f"{value} ({low} to {high}; {estimate['count']} of {f'{of:.0f}' if of == int(of) else f'{of:.2f} h'})"


def _estimates(result: Result) -> dict[str, Estimate]:
    estimates: dict[str, Estimate] = {}
    if result.clips:
        estimates["accuracy"] = _clips_right(result.clips)
        estimates["clip_accuracy"] = metrics.share(sum(c.plain == c.said for c in result.clips), len(result.clips))
    streams = (*result.words, *result.streams)
    if any(stream.said for stream in streams):
        estimates["miss_rate"] = _missed(streams)
    if result.streams:
        hours = sum(stream.recording.seconds for stream in result.streams) / 3600
        false = sum(len(stream.matching.false) for stream in result.streams)
        estimates["false_accepts_per_hour"] = metrics.rate_per_hour(false, hours)
    frames = [each.confusion for each in result.frames if each.confusion]
    if frames:
        estimates["frame_accuracy"] = metrics.over_recordings(frames, lambda c: metrics.accuracy(c).value)
        estimates["macro_f1"] = metrics.over_recordings(frames, metrics.macro_f1)
        estimates.setdefault("accuracy", estimates["frame_accuracy"])
    elif result.clips:
        each_clip = [_clip_confusion([clip]) for clip in result.clips]
        estimates["macro_f1"] = metrics.over_recordings(each_clip, metrics.macro_f1)
    return estimates


def _measured_on(name: str, result: Result) -> str:
    if name == "frame_accuracy" or (name == "macro_f1" and result.frames):
        return "frames"
    if name in ("accuracy", "clip_accuracy", "macro_f1"):
        return "clips" if result.clips else "frames"
    return "words" if name == "miss_rate" else "streams"


def _clips_right(clips: Sequence[Clip]) -> Estimate:
    return metrics.share(sum(metrics.clip_is_right(clip.said, clip.heard) for clip in clips), len(clips))


def _missed(streams: Iterable[Stream]) -> Estimate:
    said = [(len(stream.matching.missed), len(stream.said)) for stream in streams]
    return metrics.share(sum(missed for missed, _ in said), sum(of for _, of in said))


def _labels(result: Result) -> dict[str, dict[str, float]]:
    """Of each label: how often it was said and missed, and falsely heard in streams; its F1 in frames."""
    said: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for stream in (*result.words, *result.streams):
        said.update(interval.label for interval in stream.said)
        missed.update(stream.said[s].label for s in stream.matching.missed)
    for stream in result.streams:
        false.update(stream.heard[h].label for h in stream.matching.false)
    labels: dict[str, dict[str, float]] = {
        label: {"said": said[label], "missed": missed[label], "false_accepts": false[label]}
        for label in sorted({*said, *false})
    }
    for label, score in metrics.class_scores(_frame_confusion(result.frames)).items():
        labels.setdefault(label, {}).update(
            frames=score.said, precision=score.precision, recall=score.recall, f1=score.f1
        )
    return labels


def _groups(result: Result) -> dict[str, dict[str, Any]]:
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
    groups: dict[str, dict[str, Any]] = {}
    for group in sorted({*clips, *streams, *frames} - {""}):
        estimates: dict[str, Estimate] = {}
        if clips[group]:
            estimates["accuracy"] = _clips_right(clips[group])
        if streams[group]:
            estimates["miss_rate"] = _missed(streams[group])
        if frames[group]:
            confusions = [each.confusion for each in frames[group]]
            estimates["frame_accuracy"] = metrics.over_recordings(confusions, lambda c: metrics.accuracy(c).value)
        groups[group] = {name: msgspec.to_builtins(estimate) for name, estimate in estimates.items()}
    return groups


def _clip_confusion(clips: Iterable[Clip]) -> Counter[tuple[str, str]]:
    return Counter(
        (clip.said, clip.heard[0] if len(clip.heard) == 1 else SEVERAL if clip.heard else NOTHING) for clip in clips
    )


def _stream_confusion(streams: Iterable[Stream]) -> Counter[tuple[str, str]]:
    pairs: Counter[tuple[str, str]] = Counter()
    for stream in streams:
        matching = stream.matching
        paired = (*matching.hits, *matching.confusions)
        pairs.update((stream.said[s].label, stream.heard[h].label) for s, h in paired)
        said, heard = {s for s, _ in paired}, {h for _, h in paired}
        pairs.update((interval.label, NOTHING) for s, interval in enumerate(stream.said) if s not in said)
        pairs.update((NOTHING, interval.label) for h, interval in enumerate(stream.heard) if h not in heard)
    return pairs


def _frame_confusion(frames: Iterable[Frames]) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for each in frames:
        total.update(each.confusion)
    return total


def _nested(confusion: Confusion) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = defaultdict(dict)
    for (said, heard), count in sorted(confusion.items()):
        nested[said][heard] = count
    return dict(nested)
