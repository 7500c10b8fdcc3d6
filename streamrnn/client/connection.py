"""A socket of a client to one endpoint of a daemon."""

from __future__ import annotations

import contextlib
import math
import time
from types import TracebackType
from typing import Self

import zmq

from streamrnn import security
from streamrnn.errors import ConfigError, DeviceError

_LOOK_S = 0.5  # how often a wait is left so that Ctrl-C is heard on every platform


class Connection:
    """A socket with a context of its own, so that closing one waits for no other."""

    def __init__(self, endpoint: str, kind: int, example: str, keys: str = "") -> None:
        """Connect, with the secret certificate in the file `keys`, if any.

        Raises DeviceError, with `example` as the repair, if the endpoint is none, ConfigError if the keys are not.
        """
        self.endpoint = endpoint
        self._context = zmq.Context()
        # Whatever cuts a client off, Ctrl-C too: what cannot be sent holds up no exit. An orderly close says how long.
        self._context.linger = 0
        self._socket: zmq.Socket[bytes] = self._context.socket(kind)
        self._refusals = security.Refusals(self._socket, self._context)
        try:
            security.introduce(self._socket, keys)
            self._socket.connect(endpoint)
        except ConfigError:
            self._shut(0.0)
            raise
        except zmq.ZMQError as error:
            self._shut(0.0)
            reason = error.strerror or str(error)
            raise DeviceError(f"{endpoint}: {reason}; write it as {example}") from None

    def close(self) -> None:
        """Let the connection go."""
        self._shut(0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self, seconds: float) -> list[bytes]:
        """The parts of the next message, none if it does not come in time. Raises DeviceError if we are not let in."""
        until = time.monotonic() + seconds
        while True:
            left = min(_LOOK_S, max(0.0, until - time.monotonic()))
            if self._socket.poll(math.ceil(left * 1000)):
                return self._socket.recv_multipart()
            self._refusals.check(self.endpoint)
            if time.monotonic() >= until:
                return []

    def _connect_again(self) -> None:
        """Over a new connection: what was on its way over the old one, in both directions, is gone."""
        with contextlib.suppress(zmq.ZMQError):  # it has gone by itself
            self._socket.disconnect(self.endpoint)
        self._socket.connect(self.endpoint)

    def _shut(self, linger_s: float) -> None:
        if not self._socket.closed:
            self._socket.close(round(linger_s * 1000))
            self._refusals.close()
            security.end(self._context, linger_s)
