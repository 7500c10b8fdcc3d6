"""What a program hears of a daemon: the messages of the topics it asked for, those that never came asked for again."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

import zmq

from streamrnn import wire
from streamrnn.client.connection import Connection
from streamrnn.client.known import Known
from streamrnn.client.ledger import Begin, Ledger, Missing
from streamrnn.client.pauses import Pauses
from streamrnn.client.recovery import AUTO, Loss, Recovery
from streamrnn.errors import did_you_mean
from streamrnn.events import KINDS
from streamrnn.wire import Beat, Hello, Message, WireError

STALE_S = 3.0  # without a heartbeat, of which one comes each second
_OWN = ("hello", "heartbeat", "bye")
_GREETING = wire.topic_of("hello").rstrip("/")  # which nobody else subscribes to
_LOSSES = 1024
_QUEUE = 20_000  # messages that may wait until we read them: a program may pause for a while


class Subscriber(Connection):
    """Iterates over what a daemon publishes under the topics that begin with any of `topics`.

    `for event in Subscriber("tcp://127.0.0.1:5560"):` goes on for ever, also over restarts of the daemon; with a
    `timeout` in seconds it ends when nothing came for so long, with `until="bye"` when the daemon says goodbye. Signs
    of life (hello, heartbeat, bye) come only if a topic names them.

    Messages that never came are asked for again and given in the order of their topic, before the one that showed that
    they were missing; an event that is sent again after a restart is given once. `recovered` and `duplicates` count
    these; `lost` counts messages that could not be had, and `take_losses` says which and why.
    """

    def __init__(
        self,
        endpoint: str = wire.RESULTS_ENDPOINT,
        topics: Sequence[str] = (wire.PREFIX,),
        *,
        timeout: float = math.inf,
        until: Literal["closed", "bye"] = "closed",
        begin: Literal["now", "last", "kept"] = "now",
        control: str = AUTO,
        keys: str = "",
    ) -> None:
        """Begin with what is said from now on, with the last message of each topic, or with all that is kept.

        `control` is where the daemon takes calls: "auto" what its hello says, "off" to ask for nothing again.
        `keys` is the path of a secret certificate of streamrnn keygen, for a daemon that asks for them. Raises
        DeviceError if an endpoint is none, ConfigError if the keys are not, WireError if a topic cannot match anything.
        """
        for topic in topics:
            _check_topic(topic)
        super().__init__(endpoint, zmq.SUB, wire.RESULTS_ENDPOINT, keys)
        self._socket.rcvhwm = _QUEUE
        self.timeout = timeout
        self.lost = self.recovered = self.duplicates = self.malformed = 0
        self.losses: deque[Loss] = deque(maxlen=_LOSSES)
        self._until, self._begin = until, begin
        self._ledger = Ledger(topics)
        self._ready: Iterator[Message] = iter(())
        self._known = Known()
        self._heard_at = -math.inf
        self._pauses = Pauses()
        self._named = tuple(kind for kind in _OWN if any(topic.startswith(f"{wire.PREFIX}{kind}") for topic in topics))
        try:
            self._recovery = Recovery(endpoint, control, topics, keys)
        except BaseException:
            self._shut(0.0)
            raise
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

    @property
    def greeted(self) -> bool:
        """Whether the present run of the daemon has said hello: what is published from then on comes or is counted."""
        return self._ledger.greeted

    @property
    def alive(self) -> bool:
        """Whether the daemon gave a sign of life within the last 3 seconds, read or still to be read."""
        return time.monotonic() - self._heard_at < STALE_S or bool(self._socket.poll(0))

    def receive(self, timeout: float = math.inf) -> Message:
        """The next message, signs of life too. Raises TimeoutError after `timeout` seconds.

        Where messages are missing it takes longer, until the daemon has answered or not.
        """
        self._pauses.enter()
        try:
            return self._next(timeout)
        finally:
            self._pauses.leave()

    def _next(self, timeout: float) -> Message:
        """Raises TimeoutError."""
        until = time.monotonic() + timeout
        while True:
            for message in self._ready:
                if not self._known.knows(message):
                    return message
                self.duplicates += 1
            waited = not self._socket.poll(0)
            parts = self._receive(until - time.monotonic())
            if not parts:
                raise TimeoutError(f"{self.endpoint}: nothing came for {timeout:g} s; is the daemon running?")
            try:
                message = wire.decode(parts)
            except WireError:
                self.malformed += 1
                continue
            self._heard_at = time.monotonic()
            if waited and message.run == self._ledger.run:
                self._pauses.forget()
            missing = self._ledger.follow(message, self._pauses.longest_s)
            if isinstance(message.body, Hello):
                self._recovery.hear(message.body.control)
            elif isinstance(message.body, Beat) and self._ledger.in_doubt:
                # Who subscribes to it anew is greeted anew, behind all that is on its way.
                self._socket.unsubscribe(_GREETING)
                self._socket.subscribe(_GREETING)
            self._ready = self._recovered(missing, message) if missing else iter((message,))

    def take_losses(self) -> list[Loss]:
        """What could not be had since this was last asked."""
        taken = list(self.losses)
        self.losses.clear()
        return taken

    def asked(self, message: Message) -> bool:
        """Whether it is of the topics that were asked for, and not only a sign of life that the count needs."""
        return message.kind not in _OWN or message.kind in self._named

    def close(self) -> None:
        """Let the connections go."""
        self._recovery.close()
        self._shut(0.0)

    def _recovered(self, missing: Sequence[Missing], message: Message) -> Iterator[Message]:
        """What could be had of the missing, then the message that showed it."""
        for each in missing:
            if isinstance(each, Begin) and self._begin != "now":
                yield from self._recovery.begin(each, "replay" if self._begin == "kept" else "snapshot")
        for found in self._recovery.fill(missing):
            if isinstance(found, Loss):
                self.lost += found.count
                self.losses.append(found)
            else:
                self.recovered += 1
                yield found
        yield message


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
