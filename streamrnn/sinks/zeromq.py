"""Messages for any number of subscribers, on a ZeroMQ XPUB socket."""

from __future__ import annotations

from time import monotonic
from typing import Annotated, Any

import zmq
from msgspec import Meta

from streamrnn import security, wire
from streamrnn.errors import ConfigError, DeviceError
from streamrnn.limits import LONGEST_TOPIC, UNREAD_SUBSCRIPTIONS
from streamrnn.recognizer import Count
from streamrnn.registry import PlugConfig, register
from streamrnn.security.connections import Subscriptions
from streamrnn.sinks import Sink
from streamrnn.wire import Message

_LOOK_S = 1.0  # between two looks at who may still be here
_TURN = 1000  # subscriptions handled before the engine goes on


@register("sink", "streamrnn.sinks.zeromq:ZeromqSink")
class ZeromqConfig(PlugConfig, frozen=True, kw_only=True, tag="zeromq"):
    """Publish on `endpoint`; a subscriber that does not read loses what is beyond `queue` messages, and no other does.

    With `wait_for` above 0 the sources wait for so many subscribers, so that none misses the first events.
    `keys` is a folder of streamrnn keygen; "" takes that of `security:`.
    """

    endpoint: str = wire.RESULTS_ENDPOINT
    queue: Count = 1000
    wait_for: Annotated[int, Meta(ge=0)] = 0
    keys: str = ""


class ZeromqSink(Sink):
    """Sends, and says when someone has subscribed; who they are ZeroMQ does not tell."""

    def __init__(self, config: ZeromqConfig) -> None:
        """Raises DeviceError if the endpoint is taken or malformed."""
        self._config = config
        self._subscribers = self._leavers = 0
        self._subscriptions = Subscriptions()
        self._look_at = 0.0
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.XPUB)
        for option, value in (
            (zmq.SNDHWM, config.queue),
            # The high-water mark alone does not bound what lies in the buffers of a stalled subscriber.
            (zmq.SNDBUF, 1 << 18),
            (zmq.RCVHWM, UNREAD_SUBSCRIPTIONS),
            (zmq.XPUB_VERBOSER, 1),  # tell of every subscription and its end, not only of the first to a topic
        ):
            self._socket.setsockopt(option, value)
        try:
            self.door = security.secure(
                self._socket, self._context, "results", config.endpoint, keys=config.keys, largest=LONGEST_TOPIC
            )
            self._socket.bind(config.endpoint)
        except ConfigError:
            self._socket.close(0)
            self._context.term()
            raise
        except zmq.ZMQError as error:
            self._socket.close(0)
            self._context.term()
            raise DeviceError(f"results {config.endpoint}: {security.bind_repair(error)}") from None
        self.place = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    @property
    def sockets(self) -> list[Any]:
        """The socket, for subscriptions."""
        return [self._socket]

    @property
    def awaited(self) -> int:
        """How many subscribers are still to come."""
        return max(0, self._config.wait_for - self._subscribers)

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """Send to those who subscribed and have room; XPUB never blocks."""
        self._socket.send_multipart(parts, zmq.NOBLOCK)

    def attend(self) -> bool:
        """Read the subscriptions; whether someone subscribed to hello."""
        topic, comers = wire.topic_of("hello").encode(), 0
        for _ in range(_TURN):
            try:
                request = self._subscriptions.admit(self._socket.recv(zmq.NOBLOCK, copy=False), self.place)
            except zmq.Again:
                break
            comers += request[:1] == b"\x01" and topic.startswith(request[1:])
            self._leavers += request[:1] == b"\x00" and topic.startswith(request[1:])
        self._subscribers += comers
        if self._config.keys and monotonic() >= self._look_at:
            self._look_at = monotonic() + _LOOK_S
            self._subscriptions.expel(self.door.lets, self.place)
        return comers > 0

    @property
    def subscribers(self) -> int:
        """How many are there who asked to be greeted, as ours do."""
        return self._subscribers - self._leavers

    def close(self, seconds: float) -> str:
        """Send what waits to those who read, for at most so many seconds."""
        self._socket.close(round(seconds * 1000))
        security.end(self._context, seconds)
        return ""
