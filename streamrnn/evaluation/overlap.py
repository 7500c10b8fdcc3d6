"""Segments frame by frame: in how much of what was heard a label holds, and how much of what holds was heard."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from streamrnn.evaluation.matching import Interval
from streamrnn.evaluation.metrics import Estimate, drawn_anew
from streamrnn.evaluation.run import Stream

# Frames that are a minute apart have nothing to do with one another: intervals come from minutes (Künsch 1989).
_BLOCK_S = 60.0
_BOTH, _HEARD, _SAID = range(3)
# Of sums of frames (said and heard, heard, said) the counts whose ratio a measure is.
Counts = NDArray[np.int64]
_MEASURES: dict[str, Callable[[Counts], tuple[int, int]]] = {
    "frame_precision": lambda n: (int(n[_BOTH]), int(n[_HEARD])),
    "frame_recall": lambda n: (int(n[_BOTH]), int(n[_SAID])),
    "frame_f1": lambda n: (2 * int(n[_BOTH]), int(n[_HEARD] + n[_SAID])),
}


def estimates(streams: Sequence[Stream], frame_rate: float) -> dict[str, Estimate]:
    """`frame_precision`, `frame_recall` and `frame_f1` over all labels, as far as a label was said or heard.

    Frames of a minute are alike and so no independent trials: the 95 % intervals come from drawing the minutes anew.
    """
    each = _by_label(streams, frame_rate).values()
    return _estimates(np.sum(list(each), axis=0)) if each else {}


def by_label(streams: Sequence[Stream], frame_rate: float) -> dict[str, dict[str, float]]:
    """Of each label that was said: in how many frames, and precision, recall and F1 of them."""
    found: dict[str, dict[str, float]] = {}
    for label, counts in _by_label(streams, frame_rate).items():
        both, heard, said = counts.sum(axis=0).tolist()
        if said:
            precision = both / heard if heard else 0.0
            found[label] = {
                "frames": said,
                "precision": precision,
                "recall": both / said,
                "f1": 2 * both / (heard + said),
            }
    return found


def _by_label(streams: Sequence[Stream], frame_rate: float) -> dict[str, Counts]:
    """Of each label the frames (minutes, 3) in which it was said and heard, heard, and said."""
    labels = sorted({each.label for stream in streams for each in (*stream.said, *stream.heard)})
    return {label: np.concatenate([_minutes(stream, label, frame_rate) for stream in streams]) for label in labels}


def _minutes(stream: Stream, label: str, frame_rate: float) -> Counts:
    frames = max(1, round(stream.recording.seconds * frame_rate))
    said, heard = (_marked(intervals, label, frames, frame_rate) for intervals in (stream.said, stream.heard))
    starts = np.arange(0, frames, max(1, round(_BLOCK_S * frame_rate)))
    return np.stack([np.add.reduceat(each, starts) for each in (said & heard, heard, said)], axis=1, dtype=np.int64)


def _marked(intervals: Sequence[Interval], label: str, frames: int, frame_rate: float) -> NDArray[np.int8]:
    """(frames,): 1 where the label is, by the middle of the frame."""
    marked = np.zeros(frames, np.int8)
    for each in intervals:
        if each.label == label:
            marked[max(0, round(each.start * frame_rate)) : max(0, round(each.end * frame_rate))] = 1
    return marked


def _estimates(minutes: Counts) -> dict[str, Estimate]:
    total = minutes.sum(axis=0)
    found: dict[str, Estimate] = {}
    for name, measure in _MEASURES.items():
        count, of = measure(total)
        if of:
            low, high = 0.0, 1.0  # a single minute says nothing of others
            if len(minutes) > 1:
                low, high = np.nanquantile(drawn_anew(minutes, partial(_ratio, measure)), [0.025, 0.975])
            value = count / of
            found[name] = Estimate(value, min(float(low), value), max(float(high), value), count, float(of))
    return found


def _ratio(measure: Callable[[Counts], tuple[int, int]], counts: Counts) -> float:
    count, of = measure(counts)
    return count / of if of else math.nan
