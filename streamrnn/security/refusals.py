"""Why a client does not get in, which libzmq keeps to itself: it only tries again, for ever."""

from __future__ import annotations

from typing import Any

import zmq

from streamrnn.errors import DeviceError
from streamrnn.security import happenings

_KEY = zmq.EVENT_HANDSHAKE_FAILED_AUTH
_LANGUAGE = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_OTHER = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_IN = zmq.EVENT_HANDSHAKE_SUCCEEDED
_ENOUGH = 3  # handshakes in a row that fail for no told reason: one may, because the daemon is just ending


class Refusals:
    """What became of the handshakes of a client's socket, told before it connects; closed before its context ends."""

    def __init__(self, client: zmq.Socket[bytes], context: zmq.Context[Any]) -> None:
        place = f"inproc://refusals-{id(client)}"
        client.monitor(place, _KEY | _LANGUAGE | _OTHER | _IN)
        self._events: zmq.Socket[bytes] = context.socket(zmq.PAIR)
        # Without a bound: libzmq's own thread would wait for room.
        self._events.rcvhwm = self._events.linger = 0
        self._events.connect(place)
        self._failed = 0
        self._has_been_in = False

    def check(self, endpoint: str) -> None:
        """Raises DeviceError if the daemon does not let us in, and will not."""
        while self._events.poll(0):
            event = happenings.read(self._events.recv_multipart()).event
            if event == _IN:
                self._failed, self._has_been_in = 0, True
            elif event == _OTHER:
                self._failed += 1
            elif event == _KEY:
                raise DeviceError(
                    f"{endpoint}: the daemon does not let this key in; look for its line in `allowed` there"
                )
            else:
                # A socket for results does not try again after this one.
                self._failed, self._has_been_in = _ENOUGH, False
        if self._failed >= _ENOUGH and not self._has_been_in:
            raise DeviceError(
                f"{endpoint}: does not understand us; if it asks for keys, show those made for it (--keys, keys=), "
                f"if it asks for none, show none"
            )

    def close(self) -> None:
        """Let go."""
        self._events.close(0)
