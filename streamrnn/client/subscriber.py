"""What a program hears of a daemon: messages of the topics it asked for, and how many of them never came."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Literal, Self

import zmq

from streamrnn import wire
from streamrnn.client.connection import Connection
from streamrnn.errors import did_you_mean
from streamrnn.events import KINDS
from streamrnn.wire import Beat, Bye, Hello, Message, WireError

_OWN = ("hello", "heartbeat", "bye")


class Subscriber(Connection):
    """Iterates over what a daemon publishes under the topics that begin with any of `topics`.

    `for event in Subscriber("tcp://127.0.0.1:5560"):` goes on for ever, also over restarts of the daemon; with a
    `timeout` in seconds it ends when nothing came for so long, with `until="bye"` when the daemon says goodbye. Signs
    of life (hello, heartbeat, bye) come only if a topic names them. `lost` counts messages that never came.
    """

    def __init__(
        self,
        endpoint: str = wire.RESULTS_ENDPOINT,
        topics: Sequence[str] = (wire.PREFIX,),
        *,
        timeout: float = math.inf,
        until: Literal["closed", "bye"] = "closed",
        keys: str = "",
    ) -> None:
        """With `keys`, the path of a secret certificate of streamrnn keygen, to a daemon that asks for them.

        Raises DeviceError if the endpoint is none, ConfigError if the keys are not, WireError if a topic cannot match.
        """
        for topic in topics:
            _check_topic(topic)
        super().__init__(endpoint, zmq.SUB, wire.RESULTS_ENDPOINT, keys)
        self.timeout = timeout
        self.lost = 0
        self.malformed = 0
        self.greeted = False
        self._until = until
        self._topics = tuple(topics)
        self._named = tuple(kind for kind in _OWN if any(topic.startswith(f"{wire.PREFIX}{kind}") for topic in topics))
        self._run = ""
        self._counts: dict[str, int] = {}
        # In this order: when the hello can come, so can all the rest.
        for topic in (*topics, *(wire.topic_of(kind) for kind in _OWN)):
            self._socket.subscribe(topic)

    def __iter__(self) -> Iterator[Message]:
        """Messages in the order in which they were published."""
        while True:
            try:
                message = self.receive(self.timeout)
            except TimeoutError:
                return
            if self.asked(message):
                yield message
            if message.kind == "bye" and self._until == "bye":
                return

    def receive(self, timeout: float = math.inf) -> Message:
        """The next message, signs of life too. Raises TimeoutError after `timeout` seconds."""
        until = time.monotonic() + timeout
        while True:
            parts = self._receive(until - time.monotonic())
            if not parts:
                raise TimeoutError(f"{self.endpoint}: nothing came for {timeout:g} s; is the daemon running?")
            try:
                message = wire.decode(parts)
            except WireError:
                self.malformed += 1
                continue
            self._follow(message)
            return message

    def asked(self, message: Message) -> bool:
        """Whether it is of the topics that were asked for, and not only a sign of life that the count needs."""
        return message.kind not in _OWN or message.kind in self._named

    def close(self) -> None:
        """Let the connection go."""
        self._shut(0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _follow(self, message: Message) -> None:
        """Count what never came: a topic's `seq` counts its messages, and signs of life tell the last ones."""
        if message.run != self._run:
            self._run, self._counts = message.run, {}
            self.greeted = False
        # The body first: it tells of messages before this one.
        body = message.body
        if isinstance(body, Hello) and not self.greeted:
            # What was sent before the first hello is not ours to count.
            self.greeted = True
            self._counts = {message.topic: message.seq - 1, **body.topics, **self._counts}
        elif isinstance(body, Beat | Bye | Hello) and self.greeted:
            for topic, seq in body.topics.items():
                if topic.startswith(self._topics):
                    self._count(topic, seq, seq)
        self._count(message.topic, message.seq, message.seq - 1)

    def _count(self, topic: str, seq: int, came: int) -> None:
        """`seq` is the last that was sent of a topic, and `came` the last before it that we should have."""
        had = self._counts.get(topic, 0 if self.greeted else came)
        self.lost += max(0, came - had)
        # A count that goes back began anew: the daemon forgets topics that are long silent.
        self._counts[topic] = seq


def _check_topic(topic: str) -> None:
    """Raises WireError for a topic that no message can begin with."""
    version, _, rest = topic.partition("/")
    kind, slash, _ = rest.partition("/")
    if wire.PREFIX.startswith(topic):
        return
    if f"{version}/" != wire.PREFIX:
        raise WireError("topic", f"{topic!r} matches nothing; topics begin as {wire.PREFIX}detection/")
    if (slash and kind not in KINDS) or not any(known.startswith(kind) for known in KINDS):
        raise WireError("topic", f"{topic!r} matches nothing; {did_you_mean(kind, KINDS)}")
