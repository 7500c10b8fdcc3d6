"""What a composed stream of hours says beside any other: each hour for itself, its material, and what was promised."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from streamrnn import operating
from streamrnn.bundle import Bundle
from streamrnn.decoders import SmoothedConfig
from streamrnn.engine import Serving
from streamrnn.evaluation import comparing, drift, intervals, metrics
from streamrnn.evaluation.breakdown import HOUR_S, by_hour
from streamrnn.evaluation.composing import CLEAN, Composed, distinct_seconds
from streamrnn.evaluation.norms import Norms
from streamrnn.evaluation.playing import Play, play_apart
from streamrnn.evaluation.run import Result, Stream, judge


def judged(stream: Stream, composed: Composed, folders: Sequence[Path]) -> dict[str, Any]:
    """What goes into the report of a composed stream.

    `hours` has recall, false accepts and state norms of each, the last perhaps a part, and what they say of drift.
    `distinct_minutes` says how much different material there was. `composed` has its `sources` in seconds by data
    folder, the figures of all hours with intervals over sources (`evaluation.intervals`), and of each `noise`.
    """
    sources = distinct_seconds([composed], folders)
    return {
        "hours": [by_hour(stream)],
        "distinct_seconds": sum(sources.values()),
        "distinct_minutes": round(sum(sources.values()) / 60, 2),
        "composed": {
            "hours": round(composed.seconds / HOUR_S, 4),
            "sources": sources,
            **_over_sources(stream, composed),
            "noise": _by_noise(stream, composed),
        },
    }


def with_resets(serving: Serving, composed: Composed, heard_s: Callable[[float], object] = lambda s: None) -> Stream:
    """The same stream heard with a fresh state before every utterance, word or not. Raises RecordingError."""
    events = play_apart(serving, composed, composed.openings, heard_s)
    return judge(Play(composed, 0), events, Norms(), serving.recognizer.config)


# Other ways to play a stream than to carry the state through all of it.
Protocol = Callable[[Serving, Composed, Callable[[float], object]], Stream]
PROTOCOLS: dict[str, Protocol] = {"resets": with_resets}


def beside(name: str, carried: Stream, other: Stream, serving: Serving) -> dict[str, Any]:
    """The same stream carried through and played by another protocol: both by the hour, and the paired difference."""
    one, two = (Result((), (), (stream,), ()) for stream in (carried, other))
    compared = comparing.compare(one, two, serving)["compared"]
    return {"beside": {name: {**by_hour(other), "compared": compared}}}


def kept(stream: Stream, bundle: Bundle) -> dict[str, Any]:
    """Of a bundle with a budget: what was promised for it, what came, and whether that lies inside; else nothing."""
    decoder = bundle.recognizer.config.decoder
    if not isinstance(decoder, SmoothedConfig) or not decoder.max_false_accepts_per_hour:
        return {}
    point = operating.choose(bundle.det, decoder.max_false_accepts_per_hour)
    came = len(stream.matching.false) / (stream.recording.seconds / HOUR_S)
    return {
        "budget": {
            "asked": decoder.max_false_accepts_per_hour,
            "promised": msgspec.to_builtins(point),
            "came": came,
            "inside": point.per_hour_low <= came <= point.per_hour_high,
        }
    }


def lines(document: dict[str, Any]) -> list[str]:
    """The same as text for people, a line each."""
    composed = document["composed"]
    parts = ", ".join(f"{name or 'elsewhere'} {seconds / 60:.1f}" for name, seconds in composed["sources"].items())
    written = [f"  {composed['hours']:g} h, of {document['distinct_minutes']:g} min of different material ({parts})"]
    if "miss_rate" in composed:
        written.append(f"  {'words missed, over sources':<30} {_percent(composed['miss_rate'])}, 95 %")
    written.append(f"  {'false accepts, over sources':<30} {_rate(composed['false_accepts_per_hour'])} an hour, 90 %")
    if not composed["false_accepts_per_hour"]["count"]:
        written.append(f"  zero in {composed['hours']:g} hours proves only < {3 / composed['hours']:.2g} an hour")
    for name, part in composed["noise"].items():
        missed = f"{_percent(part['miss_rate'])} missed, " if "miss_rate" in part else ""
        written.append(f"  {name:<30} {missed}{_rate(part['false_accepts_per_hour'])} false accepts an hour")
    written += [f"  {sentence}" for each in document["hours"] for sentence in drift.sentences(each["drift"])]
    for name, each in document.get("beside", {}).items():
        written.append(f"  the state carried (here) and with {name} (there), on the same {composed['hours']:g} h")
        written += comparing.compared_lines(each["compared"])
    if "budget" in document:
        budget, promised = document["budget"], document["budget"]["promised"]
        written.append(
            f"  budget {budget['asked']:g} an hour: {promised['per_hour_low']:.2g} to {promised['per_hour_high']:.2g} "
            f"promised, {budget['came']:.2g} came, {'inside' if budget['inside'] else 'outside'}"
        )
    return written


def _over_sources(stream: Stream, composed: Composed) -> dict[str, Any]:
    rate, keys = composed.rate, list(composed.exposure)
    said = Counter(cut.source.key for cut in composed.words)
    missed = Counter(composed.words[s].source.key for s in stream.matching.missed)
    heard = [stream.heard[h] for h in stream.matching.false]
    false = Counter(composed.source(round(h.start * rate), round(h.end * rate)).key for h in heard)
    hours = [composed.exposure[key] / HOUR_S for key in keys]
    ((low, high),) = intervals.rates(np.array([[false[key] for key in keys]], np.int64), hours)
    found: dict[str, Any] = {
        "false_accepts_per_hour": {"value": len(heard) / sum(hours), "low": low, "high": high, "count": len(heard)}
    }
    if said:
        ((low, high),) = intervals.shares(np.array([[missed[key] for key in said]], np.int64), list(said.values()))
        value = missed.total() / said.total()
        found["miss_rate"] = {"value": value, "low": low, "high": high, "count": missed.total()}
    return found


def _by_noise(stream: Stream, composed: Composed) -> dict[str, dict[str, Any]]:
    """Of each ratio of speech to noise, the cleanest first: misses and false accepts."""
    seconds: dict[float, float] = defaultdict(float)
    for scene in composed.scenes:
        seconds[scene.snr_db] += (scene.end - scene.start) / composed.rate

    def under(place: float) -> float:
        return composed.snr_db(round(place * composed.rate))

    said = Counter(under(each.end) for each in stream.said)
    missed = Counter(under(stream.said[s].end) for s in stream.matching.missed)
    false = Counter(under(stream.heard[h].end) for h in stream.matching.false)
    found: dict[str, dict[str, Any]] = {}
    for snr in sorted(seconds, reverse=True):
        part: dict[str, Any] = {"seconds": round(seconds[snr], 3)}
        if said[snr]:
            part["miss_rate"] = msgspec.to_builtins(metrics.share(missed[snr], said[snr]))
        rate = metrics.rate_per_hour(false[snr], seconds[snr] / HOUR_S)
        part["false_accepts_per_hour"] = msgspec.to_builtins(rate)
        found["no noise" if snr == CLEAN else f"noise at {snr:g} dB"] = part
    return found


def _percent(estimate: dict[str, Any]) -> str:
    return f"{estimate['value']:.1%} ({estimate['low']:.1%} to {estimate['high']:.1%})"


def _rate(estimate: dict[str, Any]) -> str:
    return f"{estimate['value']:.2f} ({estimate['low']:.2f} to {estimate['high']:.2f})"
