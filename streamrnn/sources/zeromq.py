"""ZeroMQ ingest: clients bring streams of their own to a ROUTER socket, as many samples as they have credit for."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from itertools import chain
from time import monotonic
from typing import Annotated, Literal

import zmq
from msgspec import UNSET, Meta

from streamrnn import ingest, security
from streamrnn.chunk import MUTED, STOPPED, Chunk, Ended, Gap, Item, Opened
from streamrnn.errors import ConfigError, DeviceError, UserError
from streamrnn.grid import GridConfig
from streamrnn.ingest import Answer, Credit, Data, End, Error, Start
from streamrnn.pacing import Pace
from streamrnn.recognizer import Count
from streamrnn.registry import register
from streamrnn.sources import SensorConfig, Source, room
from streamrnn.sources.bell import Bell
from streamrnn.sources.credit import Client
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
class ZeromqConfig(SensorConfig, frozen=True, kw_only=True, tag="zeromq"):
    """Take streams from clients; each may have `queue_ms` of samples on the way, which is its credit.

    With another `when_full` than `block`, clients get their credit back at once and the daemon leaves samples out.
    `reorder_ms` of samples are held to be put in order. A client that can go on has `grace_ms` to come back. When two
    bring a stream of the same name, the `first` keeps it or the `newest` gets it.
    `grid` is that of timed streams. `keys` is a folder of streamrnn keygen; "" takes that of `security:`.
    """

    endpoint: str = ingest.ENDPOINT
    max_streams: Count = 256
    max_rate: Count = 1_000_000
    max_channels: Count = ingest.MOST_CHANNELS
    reorder_ms: Annotated[float, Meta(ge=0, le=60_000)] = 200.0
    grace_ms: Annotated[float, Meta(ge=0, le=600_000)] = 2000.0
    same_stream: Literal["first", "newest"] = "first"
    keys: str = ""
    grid: GridConfig = GridConfig(policy="interpolate")


class ZeromqSource(Source):
    """Streams from clients; a fault of one is answered with a coded error and touches no other."""

    def __init__(self, config: ZeromqConfig) -> None:
        """Raises DeviceError if the endpoint is taken or malformed."""
        super().__init__(config.endpoint)
        self._config = config
        self._clients: dict[str, Client] = {}
        self._leaving: Counter[str] = Counter()  # ends of vanished clients that the engine has yet to take
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()  # stream and run
        self._owed: dict[str, None] = {}  # streams of which the engine has taken something
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
            raise DeviceError(f"ingest {config.endpoint}: {security.bind_repair(error)}") from None
        self._bell = Bell()
        self.place = self._router.getsockopt_string(zmq.LAST_ENDPOINT)

    def items(self) -> Iterator[Item]:
        """Streams of all clients, interleaved; those that are open at a stop are ended."""
        return chain.from_iterable(self.bursts())

    def bursts(self) -> Iterator[list[Item]]:
        """The same, all that came within a tick at once."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._bell.socket, zmq.POLLIN)
        probe = monotonic() + _PROBE_S
        pace = Pace(self.tick)
        while not self.stopped.is_set():
            poller.poll(max(0, round((probe - monotonic()) * 1000)))
            # What comes within a tick is one wake-up, one burst and one batch; what comes after a pause does not wait.
            pace.wait()
            burst = self.gathered()
            if monotonic() >= probe:
                probe = monotonic() + _PROBE_S
                burst += self._probe()
            if burst:
                yield burst
        for stream, client in self._clients.items():
            self._send(client.identity, Error("closing", "the daemon stops", stream))
            if not client.ending:
                yield [*client.ordering.flush(), Ended(stream, STOPPED)]

    def gathered(self) -> list[Item]:
        """What has come by now, as far as it may go on: a bounded turn, before which the answers go out."""
        self._answer()
        burst: list[Item] = []
        for _ in range(_TURN):
            try:
                frame = self._router.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            parts = []
            while frame.more:  # asked of the frame, which costs less than to ask the socket
                parts.append(frame.bytes)
                frame = self._router.recv(copy=False)
            parts.append(frame.bytes)
            key = self.door.key_of(frame)
            handle = self._handle if self.door.lets(key) else self._turn_away
            handle(parts[0], parts[1:], burst, key)
        return burst

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
        # Most credit can wait for the next message: the client is in need of none.
        client = self._clients.get(item.stream)
        if client is None or client.low or not isinstance(item, Chunk):
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

    def _handle(self, identity: bytes, parts: list[bytes], burst: list[Item], key: str = "") -> None:
        stream = ""
        try:
            header, payload = ingest.decode_request(parts)
            stream = header.stream
            if isinstance(header, Start):
                burst.extend(self._start(identity, header, key))
                return
            client = self._clients.get(stream)
            if client is None or client.identity != identity or client.ending:
                raise WireError("unknown_stream", f"{stream!r} was not started by this client; send start first")
            if isinstance(header, Data):
                self._data(client, header, payload, burst)
            else:
                client.ending = True
                burst += client.ordering.flush()
                burst += client.ordering.lose(0 if header.total is UNSET else header.total)
                burst.append(Ended(stream))
        except WireError as error:
            self.errors[error.code] += 1
            self._send(identity, Error(error.code, error.text, stream or ingest.stream_of(parts)))

    def _turn_away(self, identity: bytes, parts: list[bytes], burst: list[Item], _key: str = "") -> None:
        """A client whose key was taken out of the list, which its connection outlives."""
        self._tell_revoked(identity, ingest.stream_of(parts))
        for stream in [stream for stream, client in self._clients.items() if client.identity == identity]:
            if not self._clients[stream].ending:
                burst += self._forget(stream, _REVOKED)

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
            if start.run and (start.run, start.rate, start.channels) == owner.made:
                self._welcome_back(owner, identity, start, key)
                return
            yield from self._displace(start.stream, owner)
        if len(self._clients) >= self._config.max_streams:
            raise WireError("too_many_streams", f"{len(self._clients)} streams are open; end one or raise max_streams")
        # Half the credit at most, so that a client is never without any because all it sent is held.
        most = room(self._config.queue_ms, start.rate)
        span = min(round(self._config.reorder_ms * start.rate / 1000.0), most // 2)
        self._clients[start.stream] = Client(identity, key, start, Ordering(start.stream, span), most)
        yield ingest.opened(start)

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
        self._send(
            client.identity, Credit(stream, client.anew(), client.ordering.expected if client.start.run else UNSET)
        )

    def _displace(self, stream: str, owner: Client) -> Iterator[Item]:
        if not owner.ending and not self._is_there(stream, owner):
            yield from self._forget(stream, "the client vanished")
        elif not owner.ending and self._config.same_stream == "newest":
            self._send(owner.identity, Error("replaced", "a newer connection brings it now", stream))
            yield from self._forget(stream, _REPLACED)
        else:
            raise WireError("duplicate_stream", f"{stream!r} is being brought already; choose another name")

    def _data(self, client: Client, data: Data, payload: bytes, burst: list[Item]) -> None:
        chunk = ingest.chunk(client.start, data, payload)
        if data.n > client.credit:
            raise WireError("credit", f"{data.n} samples with a credit of {client.credit}; wait for credit")
        client.quiet = False
        client.brought(data.n, waits=self._config.when_full == "block")
        if client.due:
            self._is_there(data.stream, client)
        expected, repeats = client.ordering.expected, client.ordering.repeats(chunk.start, chunk.end)
        burst += client.ordering.add(chunk)
        if repeats:
            raise WireError("overlap", f"starts at {chunk.start}, {expected} was next; what came twice is left out")

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
        for stream in self._owed:
            client = self._clients.get(stream)
            if client is not None and client.due:
                self._is_there(stream, client)
        self._owed.clear()

    def _tell(self, item: Item | Error | Credit, client: Client) -> None:
        stream = item.stream
        if isinstance(item, Credit):
            client.ordering.expected = 0 if item.next is UNSET else item.next
        elif isinstance(item, Opened):
            self._open(client)
        elif isinstance(item, Chunk) and self._config.when_full == "block":
            client.taken(len(item.samples))
            self._owed[stream] = None
        elif isinstance(item, Gap) and item.reason == MUTED and self._config.when_full == "block":
            # They came, and were not heard: what the client itself left out never took credit.
            client.taken(item.end - item.start)
            self._owed[stream] = None
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
        """Give a client what it is owed, which may be nothing; whether it is there."""
        return self._send(client.identity, Credit(stream, client.grant() if client.opened else 0))

    def _send(self, identity: bytes, answer: Answer) -> bool:
        """Whether the client is there; one that does not read its answers loses them."""
        try:
            self._router.send_multipart([identity, ingest.encode_header(answer)], zmq.NOBLOCK)
        except zmq.Again:
            return True
        except zmq.ZMQError:
            return False
        return True
