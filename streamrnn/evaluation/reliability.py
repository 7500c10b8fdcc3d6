"""Reliability of posteriors: how often a frame is right when the posterior says p, and the calibration error.

Guo et al. (2017), On calibration of modern neural networks: the posteriors of many frames are put into bins of equal
width; in each the mean posterior should be the share of frames that are right. The expected calibration error is the
mean difference of the two, each bin weighing as much as it has frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamrnn.backends import Array
from streamrnn.evaluation.metrics import Estimate, drawn_anew
from streamrnn.evaluation.playable import Playable
from streamrnn.recognizer import BACKGROUND, Recognizer
from streamrnn.targets import Span, Targets, label_index, targets

BINS = 15
Bins = NDArray[np.float64]
"""(bins, 3): the number of frames, the sum of their posteriors, and how many were right."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """The bins of a stretch's frames that teach: of all of them, and of those in which a label is the highest."""

    all_frames: Bins
    labels: Bins


def taught(recognizer: Recognizer, recording: Playable, frames: int, margin: int = 0) -> tuple[Targets, Targets]:
    """Target (frames, labels) and teaches (frames,) of a recording that stands behind `margin` samples of silence.

    They are what training would have them be.
    """
    ratio = recognizer.rate / recording.rate
    named = [(segment, label_index(recognizer.config, segment.label)) for segment in recording.segments]
    spans = [
        Span(round((s.start + margin) * ratio), round((s.end + margin) * ratio), label)
        for s, label in named
        if label >= 0
    ]
    target, teaches = targets(recognizer, frames, spans)
    if recording.labelled == "samples":
        last = (np.arange(1, frames + 1) * recognizer.hop - 1) / ratio - margin
        known = np.zeros(frames, np.bool_)
        for segment in recording.segments:
            known |= (last >= segment.start) & (last < segment.end)
        teaches = teaches * known
    return target, teaches


def reliability(recognizer: Recognizer, said: Array, target: Targets, teaches: Targets) -> Reliability:
    """Posteriors (frames, columns) and what they should have been -> bins.

    Where one column holds, the highest posterior is looked at, and right if its column holds. Where any of the labels
    may hold, each label's posterior is, and right if the label holds.
    """
    if recognizer.forecasts:
        # How unlikely a frame was is no posterior of a label.
        said, target = said[:0, : target.shape[1]], target[:0]
    else:
        said, target = said[teaches > 0], target[teaches > 0]
    if BACKGROUND not in recognizer.columns:
        return Reliability(_binned(said.ravel(), target.ravel() > 0), _binned(said.ravel(), target.ravel() > 0))
    wanted = np.concatenate([1 - target.max(axis=1, keepdims=True, initial=0.0), target], axis=1).argmax(axis=1)
    best = said.argmax(axis=1)
    highest = said[np.arange(len(said)), best]
    of_label = best != recognizer.columns.index(BACKGROUND)
    right = best == wanted
    return Reliability(_binned(highest, right), _binned(highest[of_label], right[of_label]))


def _binned(posterior: NDArray[np.floating], right: NDArray[np.bool_]) -> Bins:
    place = np.minimum((posterior * BINS).astype(np.int64), BINS - 1)
    weights = (np.ones(len(place)), posterior, right)
    return np.stack([np.bincount(place, weight, BINS) for weight in weights], axis=1).astype(np.float64)


def calibration_error(bins: Bins) -> float:
    """The expected calibration error of bins (bins, 3); 0 where there are no frames."""
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / max(1.0, bins[:, 0].sum()))


def calibration_errors(each: Sequence[Bins]) -> Estimate:
    """The calibration error of the frames of all stretches, with the interval of a bootstrap over the stretches."""
    stacked = np.stack(each)
    total = stacked.sum(axis=0)
    value = calibration_error(total)
    frames = float(total[:, 0].sum())
    low, high = 0.0, 1.0
    if len(each) > 1:
        values = drawn_anew(stacked.reshape(len(each), -1), lambda t: calibration_error(t.reshape(-1, 3)))
        low, high = (float(bound) for bound in np.quantile(values, [0.025, 0.975]))
    # More frames that differ give a smaller error than fewer: the draws lie above the value more often than below it.
    return Estimate(value, min(low, value), max(high, value), round(value * frames), frames)


def diagram(each: Sequence[Bins]) -> list[dict[str, float]]:
    """What each bin that holds frames says: its mean posterior and the share that was right, with its interval."""
    stacked = np.stack(each)
    rows: list[dict[str, float]] = []
    for place in range(BINS):
        of_bin = stacked[:, place]
        count, posterior, right = of_bin.sum(axis=0)
        if not count:
            continue
        low, high = 0.0, 1.0
        # Stretches without a frame in this bin say nothing of it.
        those = of_bin[of_bin[:, 0] > 0]
        if len(those) > 1:
            low, high = (float(b) for b in np.quantile(drawn_anew(those, lambda t: t[2] / t[0]), [0.025, 0.975]))
        rows.append(
            {
                "frames": int(count),
                "posterior": posterior / count,
                "right": right / count,
                "low": min(low, right / count),
                "high": max(high, right / count),
            }
        )
    return rows
