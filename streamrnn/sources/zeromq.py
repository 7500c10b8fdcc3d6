"""ZeroMQ ingest: clients bring streams of their own to a ROUTER socket, as many samples as they have credit for."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from time import monotonic
from typing import Annotated, Literal

import zmq
from msgspec import UNSET, Meta

from streamrnn import ingest, security
from streamrnn.chunk import MUTED, STOPPED, Chunk, Ended, Gap, Item, Opened
from streamrnn.errors import ConfigError, DeviceError, UserError
from streamrnn.ingest import Answer, Credit, Data, End, Error, Start
from streamrnn.recognizer import Count
from streamrnn.registry import register
from streamrnn.sources import Source, SourceConfig, room
from streamrnn.sources.bell import Bell
from streamrnn.sources.clients import Client, made
from streamrnn.sources.ordering import Ordering
from streamrnn.wire import WireError

_PROBE_S = 1.0  # how soon a client that has vanished is missed, and how long what is held waits for a quiet one
_TURN = 256  # messages read before the answers go out
# Answers that one client may leave unread: one that starts all its streams before it reads must miss no credit.
_ANSWERS = 10_000
_ENDED = 1024  # streams whose end is confirmed once more to a client that did not hear of it
_REVOKED = "its key was revoked"
_REPLACED = "replaced by a newer connection"


@register("source", "streamrnn.sources.zeromq:ZeromqSource")
class ZeromqConfig(SourceConfig, frozen=True, kw_only=True, tag="zeromq"):
    """Take streams from clients; each may have `queue_ms` of samples on the way, which is its credit.

    With another `when_full` than `block`, clients get their credit back at once and the daemon leaves samples out.
    `reorder_ms` of samples are held to be put in order. A client that can go on has `grace_ms` to come back. When two
    bring a stream of the same name, the `first` keeps it or the `newest` gets it.
    `keys` is a folder of streamrnn keygen; "" takes that of `security:`.
    """

    endpoint: str = ingest.ENDPOINT
    max_streams: Count = 256
    max_rate: Count = 1_000_000
    max_channels: Count = ingest.MOST_CHANNELS
    reorder_ms: Annotated[float, Meta(ge=0, le=60_000)] = 200.0
    grace_ms: Annotated[float, Meta(ge=0, le=600_000)] = 2000.0
    same_stream: Literal["first", "newest"] = "first"
    keys: str = ""


class ZeromqSource(Source):
    """Streams from clients; a fault of one is answered with a coded error and touches no other."""

    def __init__(self, config: ZeromqConfig) -> None:
        """Raises DeviceError if the endpoint is taken or malformed."""
        super().__init__(config.endpoint)
        self._config = config
        self._clients: dict[str, Client] = {}
        self._leaving: Counter[str] = Counter()  # ends of vanished clients that the engine has yet to take
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()  # stream and run
        self._granted: Counter[str] = Counter()
        self._told: deque[Item | Error | Credit] = deque()  # by the engine's thread
        self.errors: Counter[str] = Counter()  # by code, for the summary
        self._context = zmq.Context()
        self._router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        for option, value in (
            (zmq.ROUTER_MANDATORY, 1),  # else an answer to a vanished client is no error
            (zmq.RCVHWM, 100),
            (zmq.SNDHWM, _ANSWERS),
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
                    frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                identity, *parts = (frame.bytes for frame in frames)
                key = self.door.key_of(frames[-1])
                handle = self._handle if self.door.lets(key) else self._turn_away
                yield from handle(identity, parts, key)
            if monotonic() >= probe:
                probe = monotonic() + _PROBE_S
                yield from self._probe()
        for stream, client in self._clients.items():
            self._send(client.identity, Error("closing", "the daemon stops", stream))
            if not client.ending:
                yield from client.ordering.flush()
                yield Ended(stream, STOPPED)

    def stop(self) -> None:
        """From any thread: let `items` come to an end now."""
        super().stop()
        self._bell.ring()

    def resumed(self, stream: str, index: int) -> None:
        """From the engine's thread, before `taken` of its Opened: the client is asked to go on with `index`."""
        self._told.append(Credit(stream, 0, index))

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
        self._router.close(security.LINGER_MS)
        security.end(self._context, security.LINGER_MS / 1000.0)
        self._bell.close()

    def _handle(self, identity: bytes, parts: list[bytes], key: str = "") -> Iterator[Item]:
        stream = ""
        try:
            header, payload = ingest.decode_request(parts)
            stream = header.stream
            if isinstance(header, Start):
                yield from self._start(identity, header, key)
                return
            client = self._clients.get(stream)
            if client is None or client.identity != identity or client.ending:
                raise WireError("unknown_stream", f"{stream!r} was not started by this client; send start first")
            if isinstance(header, Data):
                yield from self._data(client, header, payload)
            else:
                client.ending = True
                yield from client.ordering.flush()
                yield from client.ordering.lose(0 if header.total is UNSET else header.total)
                yield Ended(stream)
        except WireError as error:
            self.errors[error.code] += 1
            self._send(identity, Error(error.code, error.text, stream or ingest.stream_of(parts)))

    def _turn_away(self, identity: bytes, parts: list[bytes], _key: str = "") -> Iterator[Item]:
        """A client whose key was taken out of the list, which its connection outlives."""
        self._tell_revoked(identity, ingest.stream_of(parts))
        for stream in [stream for stream, client in self._clients.items() if client.identity == identity]:
            if not self._clients[stream].ending:
                yield from self._forget(stream, _REVOKED)

    def _tell_revoked(self, identity: bytes, stream: str) -> None:
        self.errors["revoked"] += 1
        self._send(identity, Error("revoked", "the key is no longer let in to ingest", stream))

    def _start(self, identity: bytes, start: Start, key: str) -> Iterator[Item]:
        limits = self._config
        if start.rate > limits.max_rate:
            raise WireError("rate", f"{start.rate} Hz; the daemon takes {limits.max_rate} at most (max_rate)")
        if start.channels > limits.max_channels:
            raise WireError("channels", f"{start.channels}; the daemon takes {limits.max_channels} (max_channels)")
        if start.run and (start.stream, start.run) in self._ended:
            self._send(identity, End(start.stream))
            return
        owner = self._clients.get(start.stream)
        if owner is not None:
            if start.run and (start.run, start.rate, start.channels) == made(owner.start):
                self._welcome_back(owner, identity, start, key)
                return
            yield from self._displace(start.stream, owner)
        if len(self._clients) >= self._config.max_streams:
            raise WireError("too_many_streams", f"{len(self._clients)} streams are open; end one or raise max_streams")
        # Half the credit at most, so that a client is never without any because all it sent is held.
        span = min(round(self._config.reorder_ms * start.rate / 1000.0), room(self._config.queue_ms, start.rate) // 2)
        self._clients[start.stream] = Client(identity, key, start, Ordering(start.stream, span))
        yield Opened(start.stream, start.rate, start.channels, start.first, start.run)

    def _welcome_back(self, client: Client, identity: bytes, start: Start, key: str) -> None:
        """The same counting over a new connection: the stream goes on, and the engine never knows."""
        client.identity, client.key, client.start, client.away_since = identity, key, start, 0.0
        if client.opened and not client.ending:
            client.waiting -= client.ordering.held
            client.ordering.forget()
            self._open(client)

    def _open(self, client: Client) -> None:
        """The first credit over a connection."""
        stream = client.start.stream
        client.opened = True
        client.credit = max(0, room(self._config.queue_ms, client.start.rate) - client.waiting)
        self._granted.pop(stream, None)
        self._send(
            client.identity, Credit(stream, client.credit, client.ordering.expected if client.start.run else UNSET)
        )

    def _displace(self, stream: str, owner: Client) -> Iterator[Item]:
        if not owner.ending and not self._is_there(stream, owner):
            yield from self._forget(stream, "the client vanished")
        elif not owner.ending and self._config.same_stream == "newest":
            self._send(owner.identity, Error("replaced", "a newer connection brings it now", stream))
            yield from self._forget(stream, _REPLACED)
        else:
            raise WireError("duplicate_stream", f"{stream!r} is being brought already; choose another name")

    def _data(self, client: Client, data: Data, payload: bytes) -> Iterator[Item]:
        start, end = data.start, data.start + data.n
        samples = ingest.unpack(payload, data.n, client.start.channels, client.start.dtype)
        if data.n > client.credit:
            raise WireError("credit", f"{data.n} samples with a credit of {client.credit}; wait for credit")
        client.quiet = False
        if self._config.when_full == "block":
            client.credit -= data.n
            client.waiting += data.n
        else:
            self._send(client.identity, Credit(data.stream, data.n))
        expected, repeats = client.ordering.expected, client.ordering.repeats(start, end)
        yield from client.ordering.add(Chunk(data.stream, start, samples))
        if repeats:
            raise WireError("overlap", f"starts at {start}, {expected} was next; what came twice is left out")

    def _answer(self) -> None:
        """Turn what the engine's thread told into credit, ends and errors."""
        self._bell.silence()
        while self._told:
            item = self._told.popleft()
            if self._leaving[item.stream]:
                # Of a client before: what is told comes in the order in which it was brought.
                self._leaving[item.stream] -= isinstance(item, Ended)
                if not self._leaving[item.stream]:
                    del self._leaving[item.stream]
                continue
            client = self._clients.get(item.stream)
            if client is not None:
                self._tell(item, client)
        for stream, n in self._granted.items():
            client = self._clients.get(stream)
            if client is not None:
                client.credit += n
                self._send(client.identity, Credit(stream, n))
        self._granted.clear()

    def _tell(self, item: Item | Error | Credit, client: Client) -> None:
        stream = item.stream
        if isinstance(item, Credit):
            client.ordering.expected = 0 if item.next is UNSET else item.next
        elif isinstance(item, Opened):
            self._open(client)
        elif isinstance(item, Chunk) and self._config.when_full == "block":
            client.waiting -= len(item.samples)
            self._granted[stream] += len(item.samples)
        elif isinstance(item, Gap) and item.reason == MUTED and self._config.when_full == "block":
            # They came, and were not heard: what the client itself left out never took credit.
            client.waiting -= item.end - item.start
            self._granted[stream] += item.end - item.start
        elif isinstance(item, Ended):
            self._send(client.identity, End(stream))
            del self._clients[stream]
            if client.start.run:
                self._ended[stream, client.start.run] = None
                if len(self._ended) > _ENDED:
                    self._ended.popitem(last=False)
        elif isinstance(item, Error):
            self.errors[item.code] += 1
            self._send(client.identity, item)
            if not client.ending:
                # A stream that was open has an end in the engine, which is told as well.
                self._leaving[stream] += client.opened
                del self._clients[stream]

    def _probe(self) -> Iterator[Item]:
        for stream, client in list(self._clients.items()):
            if client.ending:
                continue
            if not self.door.lets(client.key):
                self._tell_revoked(client.identity, stream)
                yield from self._forget(stream, _REVOKED)
                continue
            if client.quiet:
                yield from client.ordering.flush()
            client.quiet = True
            if self._is_there(stream, client):
                continue
            client.away_since = client.away_since or monotonic()
            if not client.start.run or monotonic() - client.away_since >= self._config.grace_ms / 1000.0:
                yield from self._forget(stream, "the client vanished")

    def _forget(self, stream: str, reason: str) -> Iterator[Item]:
        client = self._clients.pop(stream)
        self.errors["replaced" if reason == _REPLACED else "vanished"] += 1
        self._leaving[stream] += 1
        yield from client.ordering.flush()
        yield Ended(stream, reason)

    def _is_there(self, stream: str, client: Client) -> bool:
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
