"""The pace of loops: what comes within a tick is one wake-up and one batch, and a tick is longer the more there is."""

from __future__ import annotations

import select
import time

_TURNS = 3.0  # a tick is as long as so many turns: until it is at its longest, a loop works a third of the time at most


class Tick:
    """How long what comes is gathered, in seconds; the engine's loop sets it and those that bring samples follow it."""

    def __init__(self, longest_s: float) -> None:
        self.longest_s = longest_s
        self.seconds = 0.0

    def took(self, seconds: float) -> None:
        """A turn of the engine's loop took so long: one that is not busy gathers no longer than it saves by it."""
        self.seconds = min(self.longest_s, _TURNS * seconds)


class Pace:
    """A turn begins no sooner than a tick after the one before; what comes after a pause does not wait at all."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._begun = 0.0

    def wait(self) -> None:
        """To be called when there is something to do: returns when the turn may begin."""
        early = self._begun + self._tick.seconds - time.monotonic()
        if early > 0:
            # Not time.sleep: it waits for a time of a clock, which libfaketime, with which clocks are tested, refuses.
            select.select((), (), (), early)
        self._begun = time.monotonic()

    def done(self) -> None:
        """The turn is over; of the loop that sets the tick."""
        self._tick.took(time.monotonic() - self._begun)
