"""Segments by when they start: how many of those that are labelled were heard, of the same label and begun in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from streamrnn.evaluation.matching import Interval
from streamrnn.evaluation.metrics import Estimate, drawn_anew, quantiles
from streamrnn.evaluation.run import Stream

# A person who labels activities is no surer than that of when one begins.
TOLERANCE_S = 2.0
_BOTH, _HEARD, _SAID = range(3)


def pairs(said: Sequence[Interval], heard: Sequence[Interval], tolerance: float = TOLERANCE_S) -> list[tuple[int, int]]:
    """(index of said, index of heard), each at most once: of one label, and starts at most `tolerance` seconds apart.

    In order of time, each takes the first that is free, which for intervals of one width makes as many pairs as can be.
    """
    found = []
    for label in sorted({each.label for each in said}):
        wanted = sorted((i for i, each in enumerate(said) if each.label == label), key=lambda i: said[i].start)
        free = sorted((i for i, each in enumerate(heard) if each.label == label), key=lambda i: heard[i].start)
        for s in wanted:
            while free and heard[free[0]].start < said[s].start - tolerance:
                free.pop(0)
            if free and heard[free[0]].start <= said[s].start + tolerance:
                found.append((s, free.pop(0)))
    return sorted(found)


def judged(streams: Sequence[Stream], tolerance: float = TOLERANCE_S) -> dict[str, Any]:
    """`segment_f1` with its interval over recordings, each label's counts, and how late segments began; {} for none.

    What was heard where nobody knows what there is, and is no hit, counts for nothing.
    """
    matched = [(stream, pairs(stream.said, stream.heard, tolerance)) for stream in streams]
    told = [_where_known(stream, {h for _, h in hits}) for stream, hits in matched]
    counts = np.array([[len(hits), len(t), len(s.said)] for (s, hits), t in zip(matched, told, strict=True)], np.int64)
    counts = counts.reshape(-1, 3)
    if not counts[:, _SAID].sum():
        return {}
    both: Counter[str] = Counter(stream.said[s].label for stream, hits in matched for s, _ in hits)
    said = Counter(each.label for stream in streams for each in stream.said)
    heard = Counter(each.label for those in told for each in those)
    late = [stream.heard[h].start - stream.said[s].start for stream, hits in matched for s, h in hits]
    estimate = _f1(counts)
    return {
        "segment_f1": estimate.value,
        "segments": {
            "tolerance_s": tolerance,
            "estimate": msgspec.to_builtins(estimate),
            "start_delay_s": quantiles(late),
            "labels": {
                label: {
                    "said": said[label],
                    "heard": heard[label],
                    "hits": both[label],
                    "f1": 2 * both[label] / (said[label] + heard[label]),
                }
                for label in sorted({*said, *heard})
            },
        },
    }


def _where_known(stream: Stream, hits: set[int]) -> list[Interval]:
    """What was heard, without that which is no hit and lies, by its middle, where nobody knows what there is."""
    rate = stream.recording.rate
    known = [(segment.start / rate, segment.end / rate) for segment in stream.recording.segments]
    return [
        each
        for h, each in enumerate(stream.heard)
        if h in hits or any(start <= (each.start + each.end) / 2 < end for start, end in known)
    ]


def lines(document: dict[str, Any]) -> list[str]:
    """What people read of it; nothing where there are no segments."""
    found = document.get("segments")
    if not found:
        return []
    estimate = found["estimate"]
    value, low, high = (f"{100 * estimate[key]:.1f}%" for key in ("value", "low", "high"))
    said = f"  {'F1 of segments':<30} {value} ({low} to {high}; starts within {found['tolerance_s']:g} s)"
    delays = ", ".join(f"{name} {delay:+.2f} s" for name, delay in found["start_delay_s"].items())
    return [said, *([f"  {'segments began late by':<30} {delays}"] if delays else [])]


def _f1(counts: np.ndarray[Any, np.dtype[np.int64]]) -> Estimate:
    """Of (recordings, 3) hits, heard, said; a single recording says nothing of others."""
    both, heard, said = counts.sum(axis=0).tolist()
    value, low, high = 2 * both / (heard + said), 0.0, 1.0
    if len(counts) > 1:
        drawn = drawn_anew(counts, lambda n: 2 * n[_BOTH] / max(1, n[_HEARD] + n[_SAID]))
        low, high = (float(bound) for bound in np.quantile(drawn, [0.025, 0.975]))
    return Estimate(value, min(low, value), max(high, value), 2 * both, float(heard + said))
