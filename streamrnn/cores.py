"""The cores of this machine that we may run on, and how a process stays on one of them."""

from __future__ import annotations

import os


def available() -> list[int]:
    """The numbers of those that this process may use, in order; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(process: int, core: int) -> None:
    """Let a process, 0 is this one, stay on a core, where the system can do that. Raises OSError if it may not."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, {core})
