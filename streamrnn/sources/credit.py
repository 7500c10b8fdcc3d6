"""Clients of the ZeroMQ source: who brings a stream, what of it goes on, and how many samples it may still send."""

from __future__ import annotations

from dataclasses import dataclass

from streamrnn.ingest import Start
from streamrnn.sources.ordering import Ordering


@dataclass(slots=True)
class Client:
    """Who brings a stream. What it is owed is granted in one answer: when half its room is gone, or by the next probe.

    So a client in real time is answered once a second, whatever the length of its chunks.
    """

    identity: bytes
    key: str  # with which it came in, "" if with none
    start: Start
    ordering: Ordering
    room: int  # samples that may be on the way
    credit: int = 0
    owed: int = 0  # samples that were taken and for which it has no credit yet
    waiting: int = 0  # samples that came and that the engine has not taken
    opened: bool = False
    ending: bool = False
    quiet: bool = False  # nothing came since the last probe
    away_since: float = 0.0

    @property
    def due(self) -> bool:
        """Whether what it is owed must not wait."""
        return self.owed > 0 and self.low

    @property
    def low(self) -> bool:
        """Whether half its room is gone."""
        return 2 * self.credit <= self.room

    def brought(self, n: int, *, waits: bool) -> None:
        """So many samples came; those that do not wait for the engine are given back at once."""
        self.credit -= n
        if waits:
            self.waiting += n
        else:
            self.owed += n

    def taken(self, n: int) -> None:
        """The engine took so many samples of those that waited."""
        self.waiting -= n
        self.owed += n

    def grant(self) -> int:
        """Give what is owed; how much that is."""
        n, self.owed = self.owed, 0
        self.credit += n
        return n

    def anew(self) -> int:
        """All credit over a connection that has had none."""
        self.opened, self.owed = True, 0
        self.credit = max(0, self.room - self.waiting)
        return self.credit

    @property
    def made(self) -> tuple[str, int, int]:
        """What must be the same for its stream to go on over another connection."""
        return self.start.run, self.start.rate, self.start.channels
