"""The end of a daemon: all its parts are closed at once, each in a thread of its own, within one deadline for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

_GRACE_S = 0.2  # for a part that takes all of its time, and then says what it could not do in it

Part = tuple[str, Callable[[], str | None]]
"""Where a part is, for people, and what closes it and says what was lost, if anything was."""


def close(parts: Sequence[Part], seconds: float) -> list[str]:
    """Close all parts; what they lost and which of them have not ended in so many seconds, for people.

    None waits for another, and one that hangs is left behind: it ends with the process.
    """
    until = time.monotonic() + seconds + _GRACE_S
    lost: dict[str, str] = {}

    def end(place: str, closing: Callable[[], str | None]) -> None:
        try:
            lost[place] = closing() or ""
        except Exception as error:  # a fault of ours in one part must not keep the others open
            lost[place] = f"broke, {type(error).__name__}: {' '.join(str(error).split())}"

    threads = [
        threading.Thread(target=end, args=(f"{i} {place}", closing), name=f"close {place}", daemon=True)
        for i, (place, closing) in enumerate(parts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    told = [(place, lost.get(f"{i} {place}", "did not end in time")) for i, (place, _) in enumerate(parts)]
    return [f"{place}: {trouble}" for place, trouble in told if trouble]
