"""Which messages never came: topics are counted one by one, and runs follow one another. No sockets here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

from streamrnn import wire
from streamrnn.wire import Beat, Bye, Hello, Message

_BEATS = wire.topic_of("heartbeat")
_PAUSE_S = 1.0  # no daemon starts, tells something and ends in less
_UNKEPT = (wire.topic_of("hello"), _BEATS)  # told anew, and so never missed


@dataclass(frozen=True, slots=True)
class Hole:
    """The messages `first` to `last` of a topic, which never came."""

    run: str
    topic: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A run is over, and `now` another speaks: what it said after `had` (by topic) may be there or not, and whole runs
    between them; nothing more of itself if it `parted` with a goodbye.
    """

    run: str
    now: str
    had: dict[str, int]
    parted: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """The first hello of all: `told` was the last of each topic, of which we `had` some already."""

    run: str
    told: dict[str, int]
    had: dict[str, int]


@dataclass(frozen=True, slots=True)
class Past:
    """The runs before `now`, the oldest first, as its hello tells."""

    now: str
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """A run said goodbye, and for so long nobody read before another spoke, which knows of none between them."""

    run: str
    seconds: float


Missing = Hole | Turn | Begin | Past | Unread


class Ledger:
    """Follows the messages of topics that begin as one of `topics`, and says before which of them some are missing."""

    def __init__(self, topics: Sequence[str]) -> None:
        self.run = ""
        self.greeted = False  # by the present run
        self.in_doubt = False  # a heartbeat never came, and what it told is known only after another hello
        self._topics = tuple(topics)
        self._begun = False
        self._over = False
        self._beats = 0
        self._counts: dict[str, int] = {}
        self._unread: list[Unread] = []

    def follow(self, message: Message, unread_s: float = 0.0) -> list[Missing]:
        """What is missing before this message came; `unread_s` is for how long nobody read since the run was heard."""
        missing: list[Missing] = []
        if message.run != self.run:
            if self._begun:
                missing.append(Turn(self.run, message.run, self._counts, self._over))
            # Of one that did not say goodbye it is told already that more may have been said.
            self._unread = [Unread(self.run, unread_s)] if self._begun and self._over and unread_s > _PAUSE_S else []
            self.run, self._counts = message.run, {}
            self.greeted = self._over = self.in_doubt = False
        # The body first: it tells of messages before this one.
        body = message.body
        if isinstance(body, Hello) and not self._begun:
            # What was sent before the first hello of all is not ours to count; of later runs all is.
            missing.append(Begin(self.run, body.topics, self._counts))
            self._begun = True
            self._counts = {**body.topics, **self._counts}
        elif isinstance(body, Beat | Bye | Hello) and self._begun:
            for topic, seq in body.topics.items():
                missing += self._count(topic, seq, seq)
        if isinstance(body, Hello):
            missing += self._unread if body.before is UNSET else [Past(self.run, body.before)]
            self._unread = []
            self.greeted, self.in_doubt = True, False
            self._beats = body.topics.get(_BEATS, 0)
        elif isinstance(body, Beat):
            # A topic whose last message and whose only heartbeat were left out would never be missed.
            self.in_doubt |= self.greeted and message.seq > self._beats + 1
            self._beats = message.seq
        self._over |= isinstance(body, Bye)
        return missing + self._count(message.topic, message.seq, message.seq - 1)

    def _count(self, topic: str, seq: int, came: int) -> list[Missing]:
        """`seq` is the last that was sent of a topic, and `came` the last before it that we should have."""
        if not topic.startswith(self._topics) or topic in _UNKEPT:
            return []
        had = self._counts.get(topic, 0 if self._begun else came)
        # A count that goes back began anew: the daemon forgets topics that are long silent.
        self._counts[topic] = seq
        return [Hole(self.run, topic, had + 1, came)] if came > had else []
