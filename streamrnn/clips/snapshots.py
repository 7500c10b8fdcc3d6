"""Snapshots of a stream at some of the samples that are kept of it: from which a later event can be heard again."""

from __future__ import annotations

from collections import deque

import msgspec

from streamrnn import snapshot
from streamrnn.snapshot import Snapshot
from streamrnn.wire import Message

_NEVER = -(2**62)


class Snapshots:
    """Of one stream, by their sample `expected`, with which each goes on.

    Where a run of samples begins nothing is remembered: such a snapshot has no arrays, and its `start` is `expected`.
    """

    def __init__(self) -> None:
        self._kept: deque[Snapshot] = deque()
        self.nbytes = 0

    @property
    def last(self) -> int:
        """The sample of the last one; far below all samples if there is none."""
        return self._kept[-1].expected if self._kept else _NEVER

    def take(self, taken: Snapshot) -> None:
        """One of now."""
        if taken.start == taken.expected:
            taken = _empty(taken, taken.expected)
        self._kept.append(taken)
        self.nbytes += snapshot.size(taken)

    def anew(self, sample: int) -> None:
        """A run begins, for those bundles that heard the one before; unless nothing is known of them."""
        for last in list(self._kept)[-1:]:
            self._kept.append(_empty(last, sample))

    def forget(self, first: int) -> None:
        """Those of samples before `first` are not asked for any more, but the last: it knows the bundles."""
        while len(self._kept) > 1 and self._kept[0].expected < first:
            self.nbytes -= snapshot.size(self._kept.popleft())

    def before(self, first: int, run: tuple[int, int], message: Message) -> tuple[Snapshot, ...]:
        """The one from which the event of a message is heard again, in a run `(begin, first kept sample)`.

        The last one not after sample `first`, or the first of those after it that are before the event was told; none
        if there is none with the event's bundle and epoch.
        """
        begin, kept = run
        there = [
            each
            for each in self._kept
            if kept <= each.expected < message.t.sample
            and (each.expected == begin if each.start == each.expected else each.epoch == message.epoch)
            and any((one.bundle, one.sha) == (message.bundle.name, message.bundle.sha) for one in each.listeners)
        ]
        early = [each for each in there if each.expected <= first]
        return tuple(msgspec.structs.replace(each, epoch=message.epoch) for each in (early[-1:] or there[:1]))


def _empty(taken: Snapshot, sample: int) -> Snapshot:
    """Before its first sample, number `sample`, a run has no memory; its epoch is that of what is told in it."""
    listeners = tuple(
        msgspec.structs.replace(each, origin=0, place=0, frames=0, restored=0, remarks=(), state={}, track={})
        for each in taken.listeners
    )
    return msgspec.structs.replace(
        taken, start=sample, expected=sample, untold=(), in_gap=False, inputs=(), listeners=listeners
    )
