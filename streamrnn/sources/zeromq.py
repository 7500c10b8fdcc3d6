"""ZeroMQ ingest: clients bring streams of their own to a ROUTER socket, as many samples as they have credit for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic

import zmq

from streamrnn import ingest, security
from streamrnn.chunk import Chunk, Ended, Gap, Item, Opened
from streamrnn.errors import ConfigError, DeviceError, UserError
from streamrnn.ingest import Answer, Credit, Data, End, Error, Start
from streamrnn.recognizer import Count
from streamrnn.registry import register
from streamrnn.sources import Source, SourceConfig, room
from streamrnn.sources.bell import Bell
from streamrnn.wire import WireError

_PROBE_S = 1.0  # how soon a client that has vanished is missed
_TURN = 256  # messages read before the answers go out
_LINGER_MS = 200


@register("source", "streamrnn.sources.zeromq:ZeromqSource")
class ZeromqConfig(SourceConfig, frozen=True, kw_only=True, tag="zeromq"):
    """Take streams from clients; each may have `queue_ms` of samples on the way, which is its credit.

    `keys` is a folder of streamrnn keygen; "" takes that of `security:`.
    """

    endpoint: str = ingest.ENDPOINT
    max_streams: Count = 256
    keys: str = ""


@dataclass(slots=True)
class _Client:
    """Who brings a stream: the sample that is next, and how many it may still send."""

    identity: bytes
    start: Start
    expected: int = 0
    credit: int = 0
    ending: bool = False


class ZeromqSource(Source):
    """Streams from clients; a fault of one is answered with a coded error and touches no other."""

    def __init__(self, config: ZeromqConfig) -> None:
        """Raises DeviceError if the endpoint is taken or malformed."""
        super().__init__(config.endpoint)
        self._config = config
        self._clients: dict[str, _Client] = {}
        self._leaving: Counter[str] = Counter()  # ends of vanished clients that the engine has yet to take
        self._told: deque[Item | Error] = deque()  # by the engine's thread
        self.errors: Counter[str] = Counter()  # by code, for the summary
        self._context = zmq.Context()
        self._router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        for option, value in (
            (zmq.ROUTER_MANDATORY, 1),  # else an answer to a vanished client is no error
            (zmq.RCVHWM, 100),
            (zmq.SNDHWM, 100),
        ):
            self._router.setsockopt(option, value)
        try:
            self.door = security.secure(
                self._router,
                self._context,
                "ingest",
                config.endpoint,
                keys=config.keys,
                largest=ingest.LARGEST_MESSAGE,
            )
            self._router.bind(config.endpoint)
        except ConfigError:
            self._router.close(0)
            self._context.term()
            raise
        except zmq.ZMQError as error:
            self._router.close(0)
            self._context.term()
            raise DeviceError(f"ingest {config.endpoint}: {bind_repair(error)}") from None
        self._bell = Bell()
        self.place = self._router.getsockopt_string(zmq.LAST_ENDPOINT)

    def items(self) -> Iterator[Item]:
        """Streams of all clients, interleaved; those that are open at a stop are ended."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._bell.socket, zmq.POLLIN)
        probe = monotonic() + _PROBE_S
        while not self.stopped.is_set():
            poller.poll(max(0, round((probe - monotonic()) * 1000)))
            self._answer()
            for _ in range(_TURN):
                try:
                    identity, *parts = self._router.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                yield from self._handle(identity, parts)
            if monotonic() >= probe:
                probe = monotonic() + _PROBE_S
                yield from self._probe()
        for stream, client in self._clients.items():
            self._send(client.identity, Error("closing", "the daemon stops", stream))
            if not client.ending:
                yield Ended(stream)

    def stop(self) -> None:
        """From any thread: let `items` come to an end now."""
        super().stop()
        self._bell.ring()

    def taken(self, item: Item) -> None:
        """From the engine's thread: what the engine has taken is given back as credit."""
        self._told.append(item)
        self._bell.ring()

    def refused(self, stream: str, error: UserError) -> None:
        """From the engine's thread: the client is told why, and may try again."""
        self._told.append(Error("refused", " ".join(str(error).split()), stream))
        self._bell.ring()

    def close(self) -> None:
        """Let the endpoint go, and what was answered out."""
        self._router.close(_LINGER_MS)
        self._context.term()
        self._bell.close()

    def _handle(self, identity: bytes, parts: list[bytes]) -> Iterator[Item]:
        stream = ""
        try:
            header, payload = ingest.decode_request(parts)
            stream = header.stream
            if isinstance(header, Start):
                yield from self._start(identity, header)
                return
            client = self._clients.get(stream)
            if client is None or client.identity != identity or client.ending:
                raise WireError("unknown_stream", f"{stream!r} was not started by this client; send start first")
            if isinstance(header, Data):
                yield from self._data(client, header, payload)
            else:
                client.ending = True
                yield Ended(stream)
        except WireError as error:
            self.errors[error.code] += 1
            self._send(identity, Error(error.code, error.text, stream or ingest.stream_of(parts)))

    def _start(self, identity: bytes, start: Start) -> Iterator[Item]:
        owner = self._clients.get(start.stream)
        if owner is not None and not owner.ending and not self._is_there(start.stream, owner):
            yield from self._forget(start.stream)
            owner = None
        if owner is not None:
            raise WireError("duplicate_stream", f"{start.stream!r} is being brought already; choose another name")
        if len(self._clients) >= self._config.max_streams:
            raise WireError("too_many_streams", f"{len(self._clients)} streams are open; end one or raise max_streams")
        self._clients[start.stream] = _Client(identity, start)
        yield Opened(start.stream, start.rate, start.channels)

    def _data(self, client: _Client, data: Data, payload: bytes) -> Iterator[Item]:
        start = client.start
        samples = ingest.unpack(payload, data.n, start.channels, start.dtype)
        if data.n > client.credit:
            raise WireError("credit", f"{data.n} samples with a credit of {client.credit}; wait for credit")
        client.credit -= data.n
        if data.start > client.expected:
            yield Gap(data.stream, client.expected, data.start, "missing")
        # What overlaps goes on as well: the engine leaves it out, counts it and publishes it.
        yield Chunk(data.stream, data.start, samples)
        expected, client.expected = client.expected, max(client.expected, data.start + data.n)
        if data.start < expected:
            raise WireError("overlap", f"starts at {data.start}, {expected} was next; what came twice is left out")

    def _answer(self) -> None:
        """Turn what the engine's thread told into credit, ends and errors."""
        granted: Counter[str] = Counter()
        self._bell.silence()
        while self._told:
            item = self._told.popleft()
            if self._leaving[item.stream]:
                # Of a client before: what is told comes in the order in which it was brought.
                self._leaving[item.stream] -= isinstance(item, Ended)
                continue
            client = self._clients.get(item.stream)
            if client is None:
                continue
            if isinstance(item, Opened):
                granted[item.stream] += room(self._config.queue_ms, item.rate)
            elif isinstance(item, Chunk):
                granted[item.stream] += len(item.samples)
            elif isinstance(item, Ended):
                self._send(client.identity, End(item.stream))
                del self._clients[item.stream]
            elif isinstance(item, Error):
                self.errors[item.code] += 1
                self._send(client.identity, item)
                if not client.ending:
                    del self._clients[item.stream]
        for stream, n in granted.items():
            client = self._clients.get(stream)
            if client is not None:
                client.credit += n
                self._send(client.identity, Credit(stream, n))

    def _probe(self) -> Iterator[Item]:
        for stream, client in list(self._clients.items()):
            if not client.ending and not self._is_there(stream, client):
                yield from self._forget(stream)

    def _forget(self, stream: str) -> Iterator[Item]:
        self.errors["vanished"] += 1
        self._leaving[stream] += 1
        del self._clients[stream]
        yield Ended(stream, "the client vanished")

    def _is_there(self, stream: str, client: _Client) -> bool:
        return self._send(client.identity, Credit(stream, 0))

    def _send(self, identity: bytes, answer: Answer) -> bool:
        """Whether the client is there; one that does not read its answers loses them."""
        try:
            self._router.send_multipart([identity, ingest.encode_header(answer)], zmq.NOBLOCK)
        except zmq.Again:
            return True
        except zmq.ZMQError:
            return False
        return True


def bind_repair(error: zmq.ZMQError) -> str:
    """Why an endpoint could not be bound, and what to do."""
    if error.errno == zmq.EADDRINUSE:
        return "taken by another program, maybe another streamrnn; stop it or choose another port"
    reason = error.strerror or str(error)
    return f"cannot be bound ({reason}); write tcp://127.0.0.1:PORT or ipc://PATH"
