"""What the data says lies under a stretch of a stream: a segment, a noise."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate

from streamrnn.evaluation.matching import Interval
from streamrnn.evaluation.playable import Playable


class Under:
    """A recording's segments and noises by their place in time."""

    def __init__(self, recording: Playable) -> None:
        self._rate = recording.rate
        self._segments = recording.segments
        self._starts = [segment.start / self._rate for segment in self._segments]
        # The latest end so far rises, so that it can be searched in though segments overlap.
        self._reached = list(accumulate((segment.end / self._rate for segment in self._segments), max))
        self._noises = recording.noises
        self._noisy = list(accumulate((noise.end for noise in self._noises), max))

    def segment(self, interval: Interval, otherwise: str) -> str:
        """The label of the segment that an interval, in seconds, shares most with."""
        first = bisect_right(self._reached, interval.start)
        last = bisect_left(self._starts, interval.end)
        shared = [
            (
                min(segment.end / self._rate, interval.end) - max(segment.start / self._rate, interval.start),
                segment.label,
            )
            for segment in self._segments[first:last]
        ]
        most, label = max(shared, default=(0.0, ""))
        return label if most > 0 else otherwise

    def noise(self, interval: Interval) -> tuple[float, str] | None:
        """Ratio in dB and name of the first noise under the middle of an interval; None where nobody says."""
        middle = (interval.start + interval.end) / 2 * self._rate
        # The first that ends behind it; those after that begin later still.
        place = bisect_right(self._noisy, middle)
        if place == len(self._noises) or self._noises[place].start > middle:
            return None
        return self._noises[place].snr_db, self._noises[place].name

    def noise_name(self, interval: Interval) -> str:
        """Its name as people read it; "" where nobody says."""
        noise = self.noise(interval)
        return "" if noise is None else noise_name(*noise)


def noise_name(snr_db: float, name: str) -> str:
    """`fan at 5 dB`, or `no noise`."""
    return "no noise" if math.isinf(snr_db) else f"{name} at {snr_db:g} dB"
