"""Which runs of a daemon a subscriber has heard of, and which came and went unheard. No sockets here."""

from __future__ import annotations

from collections.abc import Sequence


class Runs:
    """Counts runs from the first that was heard: what was before it is not ours."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._told = False  # whether we know of all runs that were before the first

    def hear(self, run: str) -> None:
        """A run speaks to us: the first of all, of which nothing was told yet."""
        self._known.add(run)

    def unheard(self, listed: Sequence[str], now: str) -> list[str]:
        """The runs of those `listed` before the run `now`, the oldest first, that came and went; each only once."""
        before = [run for run in listed if run != now]
        last = max((i for i, run in enumerate(before) if run in self._known), default=-1)
        # Those of a list in which none is known are all new, if there was one before it.
        new = before[last + 1 :] if self._told or last >= 0 else []
        self._told = True
        self._known.update(before, (now,))
        return new
