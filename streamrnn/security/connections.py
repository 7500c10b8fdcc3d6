"""Single connections behind a server socket, which libzmq does not show: told apart by descriptor, and cut off."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from streamrnn.limits import ALL_SUBSCRIBED_BYTES, LONGEST_TOPIC, MOST_SUBSCRIPTIONS, SUBSCRIBED_BYTES
from streamrnn.security.standing import key_of

_SUBSCRIBE = b"\x01"


def identity(handle: int) -> int:
    """What tells a connection from a later one with the same descriptor: its inode. 0 if it is gone."""
    try:
        return os.fstat(handle).st_ino
    except OSError:
        return 0


def cut(handle: int, endpoint: str, known: int = 0) -> None:
    """End the connection of a descriptor that libzmq owns, if it is still one of `endpoint` and of the identity known.

    Only shut down, never closed: libzmq sees the end, lets the connection go and gives back what it kept for it.
    """
    try:
        copy = os.dup(handle)
    except OSError:
        return
    try:
        connection = socket.socket(fileno=copy)
    except OSError:
        # The descriptor has become another file, which is not ours to touch.
        os.close(copy)
        return
    with connection, contextlib.suppress(OSError):
        if _is_at(connection, endpoint) and known in (0, identity(copy)):
            connection.shutdown(socket.SHUT_RDWR)


def _is_at(connection: socket.socket, endpoint: str) -> bool:
    """Whether it came in at this endpoint: so that no other socket of the process is ever cut off."""
    scheme, _, place = endpoint.partition("://")
    here = connection.getsockname()
    if scheme == "ipc":
        name = here.decode() if isinstance(here, bytes) else str(here)
        return name.replace("\0", "@", 1) == place
    return isinstance(here, tuple) and place.rpartition(":")[2] == str(here[1])


@dataclass(slots=True)
class _Held:
    """What one connection has subscribed to."""

    inode: int
    key: str = ""  # with which it came in, "" if with none
    count: int = 0
    size: int = 0
    is_cut: bool = False


class Subscriptions:
    """The subscriptions of an XPUB socket, counted by connection: one that asks for too much is cut off.

    The socket must be verbose about subscriptions. What it keeps for a connection goes with it.
    """

    def __init__(self) -> None:
        self.cut_off = self.expelled = 0
        self._held: dict[int, _Held] = {}

    def admit(self, frame: zmq.Frame, endpoint: str) -> bytes:
        """The request in a received frame (`copy=False`), b"" if it was too much and its connection is cut off."""
        request = frame.bytes
        try:
            handle = int(frame.get(zmq.SRCFD))
        except (zmq.ZMQError, ValueError, TypeError):
            return request  # libzmq says that a connection has gone: nobody sent it
        inode = identity(handle)
        held = self._held.get(handle)
        if held is None or held.inode != inode:
            self._forget_gone()
            held = self._held[handle] = _Held(inode, key_of(frame))
        change = 1 if request[:1] == _SUBSCRIBE else -1
        held.count = max(0, held.count + change)
        held.size = max(0, held.size + change * len(request))
        if not held.is_cut and self._is_too_much(held, request):
            held.is_cut = True
            self.cut_off += 1
            cut(handle, endpoint, inode)
        return b"" if held.is_cut else request

    def expel(self, lets: Callable[[str], bool], endpoint: str) -> None:
        """Cut off the connections that came in with keys which the list lets in no more."""
        for handle, held in self._held.items():
            if not held.is_cut and not lets(held.key):
                held.is_cut = True
                self.expelled += 1
                cut(handle, endpoint, held.inode)

    def _is_too_much(self, held: _Held, request: bytes) -> bool:
        return (
            len(request) > LONGEST_TOPIC + 1
            or held.count > MOST_SUBSCRIPTIONS
            or held.size > SUBSCRIBED_BYTES
            or sum(each.size for each in self._held.values() if not each.is_cut) > ALL_SUBSCRIBED_BYTES
        )

    def _forget_gone(self) -> None:
        for handle in [handle for handle, held in self._held.items() if identity(handle) != held.inode]:
            del self._held[handle]
