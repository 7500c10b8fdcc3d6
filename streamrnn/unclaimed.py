"""Streams that a daemon before has left in its state: who goes on with one takes it, the others are told as ended."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping

from streamrnn import snapshot
from streamrnn.chunk import Opened
from streamrnn.errors import StreamError
from streamrnn.events import BundleRef, Lost, gap_event
from streamrnn.publisher import Publisher
from streamrnn.snapshot import Snapshot
from streamrnn.statefile import KeptStream
from streamrnn.wire import Status

OTHER_MEMORY = "restart"  # the reason of the gap where what was heard of a stream is forgotten


class Unclaimed:
    """The streams that were kept and have not come again; used by the engine's thread."""

    def __init__(self, kept: Mapping[str, KeptStream], most: int, grace_s: float) -> None:
        """The last `most` of those `kept` are waited for, so many seconds from the first `settle` on."""
        self.streams: dict[str, KeptStream] = dict(list(kept.items())[-most:])
        self._too_many = {stream: each for stream, each in kept.items() if stream not in self.streams}
        self._most, self._grace_s = most, grace_s
        self._until = math.inf  # the end of the grace, once it has begun

    def take(self, publisher: Publisher, item: Opened) -> tuple[Snapshot, ...]:
        """What was kept of a stream that goes on in its run; nothing if it is a new one, and the old one ends."""
        stream = item.stream
        kept = self.streams.pop(stream, None)
        if kept is None:
            return ()
        with contextlib.suppress(StreamError):
            there = snapshot.decode(kept.snapshot)
            made = (there.stream, kept.run, there.rate, there.channels)
            if item.run and made == (stream, item.run, item.rate, item.channels):
                return (there,)
        self.end(publisher, stream, kept, "another begins under its name")
        return ()

    def settle(self, publisher: Publisher) -> None:
        """Tell of those that are over: nobody has gone on with them in time."""
        too_many, self._too_many = self._too_many, {}
        for stream, kept in too_many.items():
            self.end(publisher, stream, kept, f"more than {self._most} streams were kept (max_streams)")
        if not self.streams:
            return
        self._until = min(self._until, time.monotonic() + self._grace_s)
        if time.monotonic() < self._until:
            return
        left, self.streams = self.streams, {}
        for stream, kept in left.items():
            self.end(publisher, stream, kept, f"nobody went on with it within {self._grace_s:g} s of a restart")

    @staticmethod
    def end(publisher: Publisher, stream: str, kept: KeptStream, why: str) -> None:
        """Tell that a stream is over: gaps that were not told yet, that its memory is lost, and up to which sample.

        Its memory is not heard to its end: the daemon before may have heard more than it kept, and told it otherwise.
        """
        try:
            there = snapshot.decode(kept.snapshot)
        except StreamError:
            return
        at = there.expected
        publisher.known(stream, there.rate, kept.run)
        told = there.lost - sum(lost.end - lost.start for lost in there.untold)
        publisher.resumed(stream, [each.bundle for each in there.listeners], told)
        served = {(each.name, each.sha): each for each in publisher.bundles}
        for each in there.listeners:
            ref = served.get((each.bundle, each.sha), BundleRef(each.bundle, each.sha))
            for lost in (*there.untold, Lost(at, at, there.rate, OTHER_MEMORY)):
                publisher.event(gap_event(stream, ref, lost, epoch=there.epoch + 1, sample=lost.end, readiness="cold"))
        publisher.closed(stream, at, Status("ended", f"{why}; of what came after sample {at} nothing was kept"))
