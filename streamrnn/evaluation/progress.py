"""Progress in plain lines, for long work whose output is no terminal: a line every few seconds, none for short work."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_EVERY_S = 10.0


class Lines:
    """Stands in for a bar: `update` as it, within the same `with`."""

    def __init__(self, total: float, unit: str, every_s: float = _EVERY_S) -> None:
        self._total, self._unit, self._every_s = total, unit, every_s
        self._done = 0.0
        self._told = self._begun = time.monotonic()

    def update(self, n: float = 1.0) -> None:
        """So much more is done."""
        self._done += n
        now = time.monotonic()
        if now - self._told < self._every_s or not 0 < self._done < self._total:
            return
        self._told = now
        left = (now - self._begun) / self._done * (self._total - self._done)
        line = f"{self._done:.0f} of {self._total:.0f} {self._unit}, about {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""
