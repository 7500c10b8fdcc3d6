"""Operating points: what each threshold of a decoder costs in misses and false accepts, as measured. No torch."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from streamrnn.errors import ConfigError

# How far apart the ends of an interval may be for a promise: the upper at most so many times the lower.
WIDEST = 4.0
# So many false accepts must have been seen for that: the 90 % interval of a Poisson count of 8 goes from 4.0 to 14.4.
ENOUGH = 8


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pair of thresholds and what it led to: false accepts with a 90 % interval, misses with a 95 % one."""

    enter: float
    leave: float
    false_accepts: int
    per_hour: float
    per_hour_low: float
    per_hour_high: float
    missed: int
    miss_rate: float
    miss_low: float
    miss_high: float


class Det(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A detection error trade-off: points by rising `enter`, and what they were measured on.

    `said` words stood in the streams; `hours` were played, composed of `distinct_minutes` of different material, which
    `sources` counts by the name of the data folder, in seconds. `decoder` are its settings beside the thresholds.
    """

    said: int
    hours: float
    distinct_minutes: float
    sources: dict[str, float]
    points: tuple[Point, ...]
    decoder: dict[str, Any] = {}


# What a bundle carries that was never measured.
UNMEASURED = Det(0, 0.0, 0.0, {}, ())


def choose(det: Det, budget: float) -> Point:
    """The lowest threshold that keeps a budget of false accepts an hour, as every higher one does.

    Raises ConfigError with a plain sentence where the evidence supports no such promise: nothing was measured, no
    threshold keeps the budget, or so little was seen at the threshold that the upper end of its interval is more than
    4 times the lower; it says then how much is lacking.
    """
    if not det.points:
        raise ConfigError(
            f"{budget:g} false accepts an hour: the bundle was never measured; run streamrnn calibrate on it"
        )
    chosen = det.points[-1]
    if chosen.per_hour > budget:
        raise ConfigError(
            f"{budget:g} false accepts an hour: the highest threshold, {chosen.enter:.4g}, still gives "
            f"{chosen.per_hour:.3g}; ask for more, or train with more of what it mistakes for words"
        )
    for point in reversed(det.points):
        if point.per_hour > budget:
            break
        chosen = point
    if not chosen.per_hour_low > 0 or chosen.per_hour_high > WIDEST * chosen.per_hour_low:
        raise ConfigError(f"{budget:g} false accepts an hour: {_lacking(det, chosen, budget)}")
    return chosen


def _lacking(det: Det, point: Point, budget: float) -> str:
    """What evidence for a budget is not there, at the point that would keep it."""
    interval = f"{point.per_hour_low:.2g} to {point.per_hour_high:.2g} an hour"
    if point.false_accepts >= ENOUGH:
        # They come from few recordings, so that more time with the same ones would show nothing new. An interval is
        # narrower, in logarithms, by the square root of what it is made of.
        ends = (point.per_hour_low, WIDEST) if point.per_hour_low > 0 else (point.per_hour, math.sqrt(WIDEST))
        times = (math.log(point.per_hour_high / ends[0]) / math.log(ends[1])) ** 2
        more = math.ceil(det.distinct_minutes * max(0.1, times - 1))
        return (
            f"a few recordings give most of the {point.false_accepts} at threshold {point.enter:.4g} ({interval}), "
            f"which promises nothing for others; calibrate on {more} min of other material beside these "
            f"{det.distinct_minutes:.0f}"
        )
    seen = f"only {point.false_accepts} heard in {det.hours:.3g} h at threshold {point.enter:.4g} ({interval})"
    needed = math.ceil(ENOUGH / (point.per_hour or budget))
    if needed <= det.hours:
        return f"{seen}, far below what was asked for; ask for less, or write enter and leave yourself"
    return f"{seen}, too few for a promise; calibrate on {needed} h, {needed - int(det.hours + 0.01)} h more"


def told(point: Point) -> str:
    """A point and what it promises, for people, in one line."""
    return (
        f"enter {point.enter:.4g}, leave {point.leave:.4g}; to be expected are "
        f"{point.per_hour:.2g} false accepts an hour ({point.per_hour_low:.2g} to {point.per_hour_high:.2g}, 90 %) and "
        f"{point.miss_rate:.1%} of the words missed ({point.miss_low:.1%} to {point.miss_high:.1%}, 95 %)"
    )
