"""Which events came before: they tell the same of the same samples of a counting. No sockets here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from streamrnn.events import Heard, Lost
from streamrnn.wire import Message

_EVENTS = 16_384  # that are known again when they come a second time


class Known:
    """Remembers the last 16,384 events that it was shown."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def knows(self, message: Message) -> bool:
        """Whether it is an event that it was shown before; from now on it is."""
        name = named(message)
        if not name:
            return False
        if name in self._seen:
            return True
        self._seen[name] = None
        if len(self._seen) > _EVENTS:
            self._seen.popitem(last=False)
        return False


def named(message: Message) -> tuple[Hashable, ...]:
    """What two messages share if they tell the same event; () for one that tells none.

    Not the epoch: a daemon that lost its memory may hear the same samples again. One that tells no `counting` is of a
    version before, and names events by their `id` alone.
    """
    body = message.body
    if not message.id:
        return ()
    if not message.counting:
        return (message.id,)
    said: tuple[Hashable, ...] = (message.id,)
    if isinstance(body, Heard):
        said = (body.label, body.start)
    elif isinstance(body, Lost):
        said = (body.reason, body.start, body.end)
    return (message.topic, message.bundle.sha, message.counting, *said)
