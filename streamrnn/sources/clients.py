"""Who brings a stream over the ingest wire: what of it goes on, and how much it may still send. No sockets here."""

from __future__ import annotations

from dataclasses import dataclass

from streamrnn.ingest import Start
from streamrnn.sources.ordering import Ordering


@dataclass(slots=True)
class Client:
    """Who brings a stream, what of it goes on, and how many samples it may still send."""

    identity: bytes
    key: str  # with which it came in, "" if with none
    start: Start
    ordering: Ordering
    credit: int = 0
    waiting: int = 0  # samples that came and that the engine has not taken
    opened: bool = False
    ending: bool = False
    quiet: bool = False  # nothing came since the last probe
    away_since: float = 0.0


def made(start: Start) -> tuple[str, int, int]:
    """What must be the same for a stream to go on: its run, rate and channels."""
    return start.run, start.rate, start.channels
