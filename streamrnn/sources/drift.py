"""How fast a device's clock runs beside the computer's: parts in a million, which decide nothing."""

from __future__ import annotations

_WINDOW_S = 10.0
_LEAST_S = 60.0  # before which a delay of a few milliseconds would be taken for drift


class Drift:
    """Fed with each block, from the first.

    A block comes late by what the computer has to do, and never early: so of each window the one that came soonest is
    compared with the soonest of the first, as clock synchronisation does with the fastest round trip.
    """

    def __init__(self, rate: int) -> None:
        self.ppm = 0.0  # above 0: the device brings more samples than it says; 0 until enough was heard
        self._rate = rate
        self.reset()

    def reset(self) -> None:
        """The device counts anew; what is known of its clock stays."""
        self._first: tuple[tuple[float, float], ...] = ()
        self._begun = self._soonest_at = self._soonest = 0.0
        self._empty = True

    def add(self, at: float, count: int) -> None:
        """At `at` seconds the device had brought `count` samples."""
        late = at - count / self._rate
        if self._empty:
            self._begun, self._soonest, self._soonest_at, self._empty = at, late, at, False
        elif late < self._soonest:
            self._soonest, self._soonest_at = late, at
        if at - self._begun < _WINDOW_S:
            return
        for first_at, first in self._first:
            if at - first_at >= _LEAST_S:
                self.ppm = (first - self._soonest) / (self._soonest_at - first_at) * 1e6
        self._first = self._first or ((self._soonest_at, self._soonest),)
        self._empty = True
