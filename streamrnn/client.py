"""What a user's own program imports to talk to a daemon: `Subscriber` to its results, `Pusher` of samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Literal, Self

import zmq
from numpy.typing import ArrayLike

from streamrnn import ingest, wire
from streamrnn.detector import as_samples
from streamrnn.errors import DeviceError, StreamError, did_you_mean
from streamrnn.events import KINDS
from streamrnn.ingest import Credit, Data, End, Error, Start
from streamrnn.wire import Beat, Bye, Hello, Message, WireError

_OWN = ("hello", "heartbeat", "bye")
_LOOK_S = 0.5  # how often a wait is left so that Ctrl-C is heard on every platform
_NOTICE_S = 1.0  # after which a wait should be explained


class _Client:
    """A socket with a context of its own, so that closing one waits for no other."""

    def __init__(self, endpoint: str, kind: int, example: str) -> None:
        """Connect. Raises DeviceError, with `example` as the repair, if the endpoint is none."""
        self.endpoint = endpoint
        self._context = zmq.Context()
        # Whatever cuts a client off, Ctrl-C too: what cannot be sent holds up no exit. An orderly close says how long.
        self._context.linger = 0
        self._socket: zmq.Socket[bytes] = self._context.socket(kind)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._socket.close(0)
            self._context.term()
            reason = error.strerror or str(error)
            raise DeviceError(f"{endpoint}: {reason}; write it as {example}") from None

    def _receive(self, seconds: float) -> list[bytes]:
        """The parts of the next message, none if it does not come in time."""
        until = time.monotonic() + seconds
        while True:
            left = min(_LOOK_S, max(0.0, until - time.monotonic()))
            if self._socket.poll(math.ceil(left * 1000)):
                return self._socket.recv_multipart()
            if time.monotonic() >= until:
                return []

    def _shut(self, linger_s: float) -> None:
        if not self._socket.closed:
            self._socket.close(round(linger_s * 1000))
            self._context.term()


class Subscriber(_Client):
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
    ) -> None:
        """Raises DeviceError if the endpoint is none, WireError if a topic cannot match anything."""
        for topic in topics:
            _check_topic(topic)
        super().__init__(endpoint, zmq.SUB, wire.RESULTS_ENDPOINT)
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


class Pusher(_Client):
    """Brings one stream to a daemon: `push` samples, then `end`; as a context manager it ends by itself.

    The daemon gives credit for the samples that it has room for. Without credit `push` waits ("block") or leaves
    samples out ("drop"), which the daemon declares as a gap.
    """

    def __init__(
        self,
        endpoint: str = ingest.ENDPOINT,
        *,
        stream: str,
        rate: int,
        channels: int = 1,
        dtype: Literal["int16", "float32"] = "float32",
        when_full: Literal["block", "drop"] = "block",
        timeout: float = 5.0,
        waiting: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Start a stream; `timeout` in seconds is how long the daemon may take for any answer.

        `waiting` is told, in a line for people, when its first answer takes more than a second. Raises StreamError if
        it refuses the stream or it cannot be described so, DeviceError if the daemon does not answer.
        """
        start = ingest.checked(Start(wire.check_name(stream), rate, channels, dtype))
        super().__init__(endpoint, zmq.DEALER, ingest.ENDPOINT)
        self.stream, self.dropped = stream, 0
        self._start, self._when_full, self._timeout = start, when_full, timeout
        self._next = self._credit = 0
        self._ended = False
        self._largest = min(ingest.LARGEST_CHUNK, ingest.LARGEST_MESSAGE // (channels * ingest.DTYPES[dtype].itemsize))
        try:
            self._send(start, b"")
            if timeout > _NOTICE_S and not self._socket.poll(round(_NOTICE_S * 1000)):
                waiting(f"{endpoint}: no daemon answers yet; waiting {timeout:g} s for one")
            while not self._credit:
                self._heed(timeout, "no daemon answers; start `streamrnn serve` with a source of kind zeromq there")
        except BaseException:
            self._shut(0.0)
            raise

    def push(self, samples: ArrayLike) -> None:
        """Send the samples that come next, `(time,)` or `(time, channels)`, floats in [-1, 1] or integers.

        Raises StreamError if they have other channels or the daemon refuses them, DeviceError if it does not answer.
        """
        chunk = as_samples(samples)
        if chunk.shape[1] != self._start.channels:
            raise StreamError(f"{self.stream}: {chunk.shape[1]} channels; it was started with {self._start.channels}")
        while len(chunk):
            self._heed_all()
            n = min(len(chunk), self._credit, self._largest)
            if n:
                payload = ingest.pack(chunk[:n], self._start.dtype)
                self._send(Data(self.stream, self._next, n), payload)
                self._credit -= n
                self._next += n
                chunk = chunk[n:]
            elif self._when_full == "drop":
                self.dropped += len(chunk)
                self.skip(len(chunk))
                return
            else:
                self._heed(self._timeout, "the daemon takes no samples; is it stopped?")

    def skip(self, samples: int) -> None:
        """Leave out samples that were lost: the daemon declares a gap."""
        self._next += samples

    def end(self) -> None:
        """End the stream and wait until its last results are published. Raises StreamError or DeviceError."""
        self._send(End(self.stream), b"")
        while not self._ended:
            self._heed(self._timeout, "the daemon does not confirm the end; is it stopped?")
        self.close()

    def close(self) -> None:
        """Let the connection go; a stream that was not ended the daemon ends itself."""
        self._shut(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._shut(0.0)
            return
        if not self._ended:
            self.end()
        self.close()

    def _send(self, header: ingest.Request, payload: bytes) -> None:
        parts = [ingest.encode_header(header), payload] if payload else [ingest.encode_header(header)]
        if not self._socket.poll(math.ceil(self._timeout * 1000), zmq.POLLOUT):
            raise DeviceError(f"{self.endpoint}: nothing goes out; is the daemon running?")
        self._socket.send_multipart(parts)

    def _heed_all(self) -> None:
        while self._socket.poll(0):
            self._heed(0.0, "")

    def _heed(self, seconds: float, complaint: str) -> None:
        """Take one answer. Raises StreamError for an error, DeviceError with the complaint if none comes in time."""
        parts = self._receive(seconds)
        if not parts:
            raise DeviceError(f"{self.endpoint}: {complaint}")
        answer = ingest.decode_answer(parts)
        if isinstance(answer, Credit):
            self._credit += answer.n
        elif isinstance(answer, Error):
            raise StreamError(f"{self.stream}: {answer.text} ({answer.code})")
        else:
            self._ended = True


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
