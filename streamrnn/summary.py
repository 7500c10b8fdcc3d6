"""What a daemon did, from its start to its end, in one line for people."""

from __future__ import annotations

import dataclasses
from collections import Counter


@dataclasses.dataclass(slots=True)
class Summary:
    """What a daemon did: why it stopped, streams heard, messages by kind, and what went wrong, for people."""

    reason: str = ""
    streams: int = 0
    kinds: Counter[str] = dataclasses.field(default_factory=Counter)
    troubles: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """One line for people."""
        counts = {
            "stream": self.streams,
            **{kind: self.kinds[kind] for kind in ("detection", "segment", "alarm", "gap")},
        }
        # The first two always: that nothing was detected is worth knowing.
        told = [counted(n, what) for i, (what, n) in enumerate(counts.items()) if n or i < 2]
        return f"stopped ({self.reason}): {', '.join(told)}"


def counted(number: int, what: str) -> str:
    """A count for people, such as `1 stream` or `2 streams`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
