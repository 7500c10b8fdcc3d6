"""The doors of a daemon: each server socket asks for keys, and a porter lets in who is on the list, and not too many.

Without a handler libzmq lets every key in, so each context has one of its own; should it ever die, libzmq refuses all.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import zmq
from zmq.utils import z85

from streamrnn.limits import BACKLOG, CURVE_BYTES, GONE_S, HANDSHAKE_BYTES, HANDSHAKE_MS, MOST_CONNECTIONS
from streamrnn.security import happenings
from streamrnn.security import keys as certificates
from streamrnn.security.connections import cut
from streamrnn.security.ending import LINGER_MS
from streamrnn.security.exposure import require_keys
from streamrnn.security.happenings import Happening
from streamrnn.security.keys import ROLES, Client, Role
from streamrnn.security.standing import Standing

Kind = Literal["results", "ingest", "control"]
# Which roles a door lets in. At the control door each call is judged by itself.
_ENTER: dict[str, frozenset[Role]] = {
    "results": frozenset(("read", "admin")),
    "ingest": frozenset(("ingest", "admin")),
    "control": frozenset(ROLES),
}
# The system asks a peer that is silent, and gives up one that does not answer.
_PROBED = (
    (zmq.TCP_KEEPALIVE, 1),
    (zmq.TCP_KEEPALIVE_IDLE, GONE_S - 2),
    (zmq.TCP_KEEPALIVE_INTVL, 1),
    (zmq.TCP_KEEPALIVE_CNT, 2),
    (zmq.TCP_MAXRT, GONE_S * 1000),
)
_CONNECTING_MS = 2000  # after which a connection is tried anew: the system alone waits ever longer between two tries
_ZAP = "inproc://zeromq.zap.01"  # where libzmq asks, https://rfc.zeromq.org/spec/27/
_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


def secure(
    server: zmq.Socket[bytes], context: zmq.Context[Any], kind: Kind, endpoint: str, *, keys: str, largest: int
) -> Door:
    """Before a server socket is bound: ask for the keys of the folder `keys` ("": none are asked for), and bound it.

    The socket has the context for itself, and `context.term()` ends the porter. `largest` is how many bytes a part may
    have. Raises ConfigError if the network could reach a socket without keys, or if the keys are not in order.
    """
    require_keys(endpoint, keys, kind)
    for option, value in (
        (zmq.MAXMSGSIZE, max(largest + CURVE_BYTES, HANDSHAKE_BYTES)),
        (zmq.HANDSHAKE_IVL, HANDSHAKE_MS),
        (zmq.BACKLOG, BACKLOG),
        (zmq.LINGER, LINGER_MS),
        # Never ZeroMQ's heartbeats at a server: one to a peer that has gone while its messages fill the queue ends the
        # process by an assertion of libzmq (issues 3937 and 4767 there). The system finds out who has gone as well.
        (zmq.HEARTBEAT_IVL, 0),
        *_PROBED,
    ):
        server.setsockopt(option, value)
    if keys:
        pair = certificates.load_server(Path(keys))
        server.curve_secretkey = pair.secret
        server.curve_server = 1
        server.setsockopt_string(zmq.ZAP_DOMAIN, kind)
        server.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a handler nobody is let in
    return Door(server, context, kind, keys)


def introduce(client: zmq.Socket[bytes], keys: str) -> None:
    """Before a client's socket connects: show the keys in the file `keys`, if there is one. Raises ConfigError.

    One who only listens never learns that its cable was pulled for so long that the daemon gave it up, unless it asks.
    """
    for option, value in (*_PROBED, (zmq.CONNECT_TIMEOUT, _CONNECTING_MS)):
        client.setsockopt(option, value)
    if not keys:
        return
    pair = certificates.load_client(Path(keys))
    client.curve_publickey, client.curve_secretkey, client.curve_serverkey = pair.public, pair.secret, pair.server


class Door:
    """A server socket's porter: a thread that answers libzmq who may come in, and counts who is there."""

    def __init__(self, server: zmq.Socket[bytes], context: zmq.Context[Any], kind: Kind, keys: str) -> None:
        standing = Standing(keys)
        self.roles_of = standing.roles_of  # of a message's sender, now
        self.key_of = standing.key_of  # of its sender, to be asked about later
        self._standing = standing
        self.turned_away: Counter[str] = Counter()  # by `refused key`, `bad handshake`, `too many connections`
        self._kind, self._keys = kind, keys
        self._inside: set[int] = set()
        # Bound here, before the server can be: no handshake comes before its handler.
        self._zap: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._zap.linger = 0
        if keys:
            self._zap.bind(_ZAP)
        watched = f"inproc://door-{id(server)}"
        server.monitor(watched, _EVENTS)
        self._events: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        # Without a bound: libzmq's own thread would wait for room.
        self._events.rcvhwm = self._events.linger = 0
        self._events.connect(watched)
        threading.Thread(target=self._run, name=f"{kind} door", daemon=True).start()

    def lets(self, key: str) -> bool:
        """From the thread of the server socket: whether who came in with a key may still be here."""
        return bool(self._standing.roles(key) & _ENTER[self._kind])

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._inside)

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._zap, zmq.POLLIN)
        poller.register(self._events, zmq.POLLIN)
        # The end of the context, which is its socket's, is ours.
        with contextlib.suppress(zmq.ZMQError), self._zap, self._events:
            while True:
                for ready, _ in poller.poll():
                    if ready is self._zap:
                        self._zap.send_multipart(self._judge(self._zap.recv_multipart()))
                    else:
                        self._note(happenings.read(self._events.recv_multipart()))

    def _judge(self, request: list[bytes]) -> list[bytes]:
        """The answer to a handshake. Whatever is not known to be right is refused."""
        number = request[1] if len(request) > 1 else b""
        try:
            client = self._client(request)
        except Exception:  # also a list that cannot be read: then nobody comes in
            return [b"1.0", number, b"500", b"", b"", b""]
        if client is None:
            return [b"1.0", number, b"400", b"", b"", b""]
        return [b"1.0", number, b"200", b"", z85.encode(request[6]), b""]

    def _client(self, request: list[bytes]) -> Client | None:
        version, _, domain, _, _, mechanism, key = request
        if version != b"1.0" or domain != self._kind.encode() or mechanism != b"CURVE" or len(key) != 32:
            return None
        # Read each time: who is taken out of the list is out from the next handshake on.
        client = certificates.read_allowed(Path(self._keys)).get(z85.encode(key))
        return client if client is not None and client.roles & _ENTER[self._kind] else None

    def _note(self, told: Happening) -> None:
        event, handle = told.event, told.value
        if event == zmq.EVENT_ACCEPTED:
            if len(self._inside) >= MOST_CONNECTIONS:
                self.turned_away["too many connections"] += 1
                cut(handle, told.endpoint)
            self._inside.add(handle)
        elif event == zmq.EVENT_DISCONNECTED:
            self._inside.discard(handle)
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.turned_away["refused key"] += 1
        else:
            self.turned_away["bad handshake"] += 1


def bind_repair(error: zmq.ZMQError) -> str:
    """Why an endpoint could not be bound, and what to do."""
    if error.errno == zmq.EADDRINUSE:
        return "taken by another program, maybe another streamrnn; stop it or choose another port"
    reason = error.strerror or str(error)
    return f"cannot be bound ({reason}); write tcp://127.0.0.1:PORT or ipc://PATH"
