"""What a process holds, as /proc tells it: memory, descriptors and threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Footprint:
    """Resident memory in MB, open descriptors and threads."""

    rss_mb: float
    descriptors: int
    threads: int


def footprint(pid: int) -> Footprint:
    """Of a process now."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Footprint(int(fields["VmRSS"].split()[0]) / 1024, descriptors, int(fields["Threads"]))


def settled(pid: int, complaints: Callable[[Footprint], list[str]], seconds: float = 60.0) -> list[str]:
    """What there is to complain of once the process has had some seconds to let things go."""
    until = time.monotonic() + seconds
    while True:
        wrong = complaints(footprint(pid))
        if not wrong or time.monotonic() > until:
            return wrong
        time.sleep(0.1)
