"""The pace of a loop: what comes within a tick is one wake-up and one batch."""

from __future__ import annotations

import select
import time


class Pace:
    """A turn begins no sooner than a tick after the one before; what comes after a pause does not wait at all."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._begun = 0.0

    def wait(self) -> None:
        """To be called when there is something to do: returns when the turn may begin."""
        early = self._begun + self._tick_s - time.monotonic()
        if early > 0:
            # Not time.sleep: it waits for a time of a clock, which libfaketime, with which clocks are tested, refuses.
            select.select((), (), (), early)
        self._begun = time.monotonic()
