"""For how long a program has not read: a daemon that came and went meanwhile was never subscribed to."""

from __future__ import annotations

import time


class Pauses:
    """The longest pause between two readings since the run that is heard was known to be there."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._left_at = time.monotonic()

    def enter(self) -> None:
        """The program reads again."""
        self.longest_s = max(self.longest_s, time.monotonic() - self._left_at)

    def leave(self) -> None:
        """The program does something else."""
        self._left_at = time.monotonic()

    def forget(self) -> None:
        """What is heard now was said after all pauses."""
        self.longest_s = 0.0
