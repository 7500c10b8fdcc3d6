"""What a bundle's judgement says: one JSON document, and its lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from streamrnn.decoders import SegmentsConfig
from streamrnn.engine import Serving
from streamrnn.evaluation import breakdown, confusion, material, metrics, mistakes, overlap, reliability, starts
from streamrnn.evaluation.invariance import Invariance
from streamrnn.evaluation.metrics import Estimate
from streamrnn.evaluation.playable import Playable
from streamrnn.evaluation.recordings import LeftOut, Recording
from streamrnn.evaluation.run import Result
from streamrnn.operating import UNMEASURED, Det

_WRONG_SHOWN = 20
_DELAY_STEP_S = 0.02
# A report of which nobody has played anything twice.
UNCOMPARED = Invariance(0, 0.0, 0, "")

# What people read, in its order; the name in the JSON, what it is, and how it is written.
TITLES = {
    "accuracy": ("clips right", "{:.1%}"),
    "clip_accuracy": ("highest mean posterior right", "{:.1%}"),
    "miss_rate": ("words missed", "{:.1%}"),
    "false_accepts_per_hour": ("false accepts an hour", "{:.2f}"),
    "frame_accuracy": ("frames right", "{:.1%}"),
    "frame_precision": ("of frames heard, said", "{:.1%}"),
    "frame_recall": ("of frames said, heard", "{:.1%}"),
    "frame_f1": ("F1 of frames", "{:.1%}"),
    "macro_f1": ("macro F1", "{:.3f}"),
}


# The same of alarms.
ALARM_TITLES = {"miss_rate": "anomalies missed", "false_accepts_per_hour": "false alarms an hour"}


def of_alarms(document: dict[str, Any]) -> bool:
    """Whether a report is of a bundle that raises alarms, rather than of words."""
    return bool(document["decoder"]["kind"] == "alarm")


def report(
    result: Result,
    serving: Serving,
    split: str,
    left_out: Sequence[LeftOut],
    *,
    det: Det = UNMEASURED,
    invariance: Invariance = UNCOMPARED,
) -> dict[str, Any]:
    """The judgement as a JSON document.

    At its top level, as far as they apply: `accuracy` (the share of clips right by the clip rule, or of frames where
    there are no clips but labelled samples), `clip_accuracy` (plain clip classification), `miss_rate`,
    `false_accepts_per_hour` (of the streams, not the clips), `frame_accuracy` and `macro_f1` of labelled samples, and
    of segments `frame_precision`, `frame_recall` and `frame_f1`, and `segment_f1` where samples are labelled;
    `estimates` has each with its interval and count, and `spreads` the interval that drawing the sources anew gives.
    `det` is what the bundle knows of other thresholds.
    """
    estimates = _estimates(result) | _overlap(result, serving)
    streams = (*result.words, *result.streams)
    judged = [stream.recording for stream in streams] + [each.recording for each in result.frames]
    seconds = sum(recording.seconds for recording in judged)
    spreads = material.spreads(result.words, result.streams)
    return {
        "bundle": {"name": serving.name, "sha": serving.sha},
        "decoder": msgspec.to_builtins(serving.recognizer.config.decoder),
        "split": split,
        "recordings": len(judged),
        "seconds": round(seconds, 3),
        "distinct_seconds": round(min(seconds, material.distinct_seconds(_recorded(judged))), 3),
        "judged": {
            "clips": len(result.clips),
            "streams": len(result.streams),
            "stream_seconds": round(sum(stream.recording.seconds for stream in result.streams), 3),
            "words": sum(len(stream.said) for stream in streams),
            "sample_labelled": len(result.frames),
        },
        **{name: estimate.value for name, estimate in estimates.items()},
        "measured_on": {name: _measured_on(name, result) for name in estimates},
        "estimates": {name: msgspec.to_builtins(estimate) for name, estimate in estimates.items()},
        "spreads": {name: msgspec.to_builtins(spread) for name, spread in spreads.items()},
        **starts.judged(result.labelled),
        **_proven(estimates),
        **_delays(result),
        "labels": _labels(result, serving),
        "groups": breakdown.groups(result),
        "noises": breakdown.noises(result),
        "hours": breakdown.hours(result),
        "false_under": breakdown.false_under(result),
        "confusion": confusion.confusions(result),
        "reliability": _reliability(result),
        "mistakes": msgspec.to_builtins(mistakes.mistakes(result)),
        "wrong_clips": [
            {"path": str(clip.recording.path), "said": clip.said, "heard": list(clip.heard), "plain": clip.plain}
            for clip in result.clips
            if not metrics.clip_is_right(clip.said, clip.heard)
        ],
        "left_out": [{"path": str(each.path), "reason": each.reason} for each in left_out],
        "invariance": msgspec.to_builtins(invariance),
        "det": msgspec.to_builtins(det),
    }


def _recorded(judged: Sequence[Playable]) -> list[Recording]:
    return [each for each in judged if isinstance(each, Recording)]


def lines(document: dict[str, Any]) -> list[str]:
    """A report as text for people, a line each."""
    where = f"split {document['split']}" if document["split"] else "all splits"
    head = f"{document['bundle']['name']} ({document['bundle']['sha'][:12]}) on {document['recordings']} recordings"
    distinct = f"{document['distinct_seconds'] / 60:.1f} min of them distinct"
    written = [f"{head}, {document['seconds'] / 60:.1f} min, {distinct}, {where}"]
    for name, (title, form) in TITLES.items():
        if name in document["estimates"] and (name, document["measured_on"][name]) != ("accuracy", "frames"):
            called = ALARM_TITLES.get(name, title) if of_alarms(document) else title
            written.append(f"  {called:<30} {_said(name, document['estimates'][name])}")
            spread = document["spreads"].get(name)
            if spread and 1 < spread["units"] < document["estimates"][name]["of"]:
                low, high = form.format(spread["low"]), form.format(spread["high"])
                written.append(f"  {'  over its sources':<30} {low} to {high}; {spread['units']} drawn anew")
    written += [*_label_lines(document["labels"]), *starts.lines(document)]
    if "proven" in document:
        written.append(f"  {document['proven']['sentence']}")
    if document["delay_s"]:
        delays = ", ".join(f"{name} {value:+.2f} s" for name, value in document["delay_s"].items())
        after = "told after it began by" if of_alarms(document) else "decided after the word by"
        written.append(f"  {after:<30} {delays}")
    if document["reliability"]:
        error = value_line("{:.1%}", document["reliability"]["error"]).rpartition(";")[0]
        written.append(f"  {'posteriors are off by':<30} {error}; {document['reliability']['frames']} frames)")
    written += [*_part_lines(document["groups"]), *_part_lines(document["noises"]), *_hour_lines(document["hours"])]
    written += [f"  {mistake_line(mistake)}" for mistake in document["mistakes"][:_WRONG_SHOWN]]
    more = len(document["mistakes"]) - _WRONG_SHOWN
    if more > 0:
        written.append(f"  and {more} more, in --json")
    written += [f"  left out: {each['reason']}" for each in document["left_out"]]
    return written + [f"  {sentence}" for sentence in [invariance_line(document["invariance"])] if sentence]


def _part_lines(parts: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"  {part}: {TITLES[name][0]:<{max(1, 28 - len(part))}} {_said(name, estimate)}"
        for part, estimates in parts.items()
        for name, estimate in estimates.items()
        if name in TITLES
    ]


def _label_lines(labels: dict[str, dict[str, float]]) -> list[str]:
    """F1 in frames, or at instants, of each label."""
    return [
        f"  {f'F1 of {label}':<30} {found['f1']:.3f} ({found['f1_low']:.3f} to {found['f1_high']:.3f}; "
        f"{found['frames']:.0f} so labelled)"
        for label, found in labels.items()
        if "f1_low" in found
    ]


def _hour_lines(streams: list[dict[str, Any]]) -> list[str]:
    written = []
    for stream in streams:
        for row in stream["hours"]:
            said = f", recall {value_line('{:.1%}', row['recall'])}" if "recall" in row else ""
            false = rate_line(row["false_accepts_per_hour"])
            written.append(f"  {stream['path']}, hour {row['hour']}: false accepts an hour {false}{said}")
    return written


def value_line(form: str, estimate: dict[str, Any]) -> str:
    """`97.0% (93.6% to 98.6%; 194 of 200)`."""
    value, low, high = (form.format(estimate[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high}; {estimate['count']} of {estimate['of']:.0f})"


def rate_line(estimate: dict[str, Any]) -> str:
    """`1.50 (0.31 to 4.39; 3 in 2.00 h)`."""
    value, low, high = (f"{estimate[key]:.2f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high}; {estimate['count']} in {estimate['of']:.2f} h)"


def _said(name: str, estimate: dict[str, Any]) -> str:
    return rate_line(estimate) if name == "false_accepts_per_hour" else value_line(TITLES[name][1], estimate)


def mistake_line(mistake: dict[str, Any]) -> str:
    """`wrong: four.wav at 0.00 s is four, heard seven`."""
    where = f"{mistake['path']} at {mistake['at']:.2f} s"
    said = f"is {mistake['said']}" if mistake["kind"] != "false" else f"under {mistake['said']}"
    under = f", {mistake['noise']}" if mistake["noise"] else ""
    kind = "wrong" if mistake["kind"] == "clip" else mistake["kind"]
    return f"{kind}: {where} {said}, heard {mistake['heard'] or 'nothing'}{under}"


def invariance_line(invariance: dict[str, Any]) -> str:
    """What playing in odd chunks showed; "" if nothing was."""
    if not invariance["recordings"]:
        return ""
    if invariance["difference"]:
        return f"odd chunks gave OTHER events, which is a fault of streamrnn: {invariance['difference']}"
    return (
        f"{invariance['recordings']} recordings played again in odd chunks gave the same events "
        f"({invariance['events']} in {invariance['seconds'] / 60:.1f} min)"
    )


def _estimates(result: Result) -> dict[str, Estimate]:
    estimates: dict[str, Estimate] = {}
    if result.clips:
        estimates["accuracy"] = breakdown.clips_right(result.clips)
        estimates["clip_accuracy"] = metrics.share(sum(c.plain == c.said for c in result.clips), len(result.clips))
    streams = (*result.words, *result.streams)
    if any(stream.said for stream in streams):
        estimates["miss_rate"] = breakdown.missed(streams)
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
        each_clip = [confusion.of_clips([clip]) for clip in result.clips]
        estimates["macro_f1"] = metrics.over_recordings(each_clip, metrics.macro_f1)
    return estimates


def _overlap(result: Result, serving: Serving) -> dict[str, Estimate]:
    """What the decoder says frame by frame, where it says from when to when: a detection is an instant."""
    if not isinstance(serving.recognizer.config.decoder, SegmentsConfig):
        return {}
    return overlap.estimates((*result.words, *result.streams), serving.recognizer.frame_rate)


def _labels(result: Result, serving: Serving) -> dict[str, dict[str, float]]:
    found = breakdown.labels(result)
    if isinstance(serving.recognizer.config.decoder, SegmentsConfig):
        said = overlap.by_label((*result.words, *result.streams), serving.recognizer.frame_rate)
        for label, scores in said.items():
            found[label] = {**scores, **found.get(label, {})}
    return found


def _measured_on(name: str, result: Result) -> str:
    if name.startswith("frame_") or (name == "macro_f1" and result.frames):
        return "frames"
    if name in ("accuracy", "clip_accuracy", "macro_f1"):
        return "clips" if result.clips else "frames"
    return "words" if name == "miss_rate" else "streams"


def _proven(estimates: dict[str, Estimate]) -> dict[str, Any]:
    """What no false accept at all proves: less than people think."""
    false = estimates.get("false_accepts_per_hour")
    if false is None or false.count:
        return {}
    below = metrics.proven_per_hour(false.of)
    sentence = f"zero in {false.of:.3g} hours proves only < {below:.3g} an hour (3 / hours, 95 %)"
    return {"proven": {"hours": false.of, "below_per_hour": below, "sentence": sentence}}


def _delays(result: Result) -> dict[str, Any]:
    """Quantiles in seconds of the stream, their intervals by drawing the words anew, and a histogram."""
    streams = (*result.words, *result.streams)
    delays = [delay for stream in streams for delay in stream.delays]
    if not delays:
        return {"delay_s": {}}
    drawn = np.random.default_rng(0).choice(delays, (500, len(delays)))
    bounds = np.quantile(np.quantile(drawn, [0.5, 0.95, 0.99], axis=1), [0.025, 0.975], axis=1)
    first = int(np.floor(min(delays) / _DELAY_STEP_S))
    counts = np.bincount([int(np.floor(delay / _DELAY_STEP_S)) - first for delay in delays])
    return {
        "delay_s": metrics.quantiles(delays),
        "delay_intervals_s": {name: bounds[:, i].tolist() for i, name in enumerate(("p50", "p95", "p99"))},
        "delay_histogram": {"first_s": first * _DELAY_STEP_S, "step_s": _DELAY_STEP_S, "counts": counts.tolist()},
        "delays_cut_off": sum(len(stream.matching.hits) for stream in streams) - len(delays),
    }


def _reliability(result: Result) -> dict[str, Any]:
    """Calibration error and diagram of the frames that teach, and of those in which a label is the highest."""
    if not result.reliability:
        return {}
    found: dict[str, Any] = {}
    for name, bins in (
        ("", [each.all_frames for each in result.reliability]),
        ("labels", [each.labels for each in result.reliability if each.labels.any()]),
    ):
        if bins:
            error = reliability.calibration_errors(bins)
            part = {
                "frames": int(error.of),
                "error": msgspec.to_builtins(error),
                "diagram": reliability.diagram(bins),
            }
            found |= {name: part} if name else part
    return found
