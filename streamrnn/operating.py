"""Operating points: what each threshold of a decoder costs in misses and false accepts, as measured. No torch."""

from __future__ import annotations

import msgspec


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
    `sources` counts by the name of the data folder, in seconds.
    """

    said: int
    hours: float
    distinct_minutes: float
    sources: dict[str, float]
    points: tuple[Point, ...]


# What a bundle carries that was never measured.
UNMEASURED = Det(0, 0.0, 0.0, {}, ())
