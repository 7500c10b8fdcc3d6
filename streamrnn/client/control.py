"""What asks a daemon to do something: calls of its control endpoint, one after another."""

from __future__ import annotations

import itertools
import time
from typing import Any

import msgspec
import zmq

from streamrnn import calls
from streamrnn.calls import Call, CallError, Done
from streamrnn.client.connection import Connection
from streamrnn.errors import DeviceError

_GRACE_S = 0.5  # beyond the deadline, in which the daemon says that it was missed


class Control(Connection):
    """`Control(endpoint).call("ping")`: what the daemon answers, as plain JSON values."""

    def __init__(self, endpoint: str = calls.ENDPOINT, *, keys: str = "") -> None:
        """With `keys`, the path of a secret certificate of streamrnn keygen, to a daemon that asks for them.

        Raises DeviceError if the endpoint is none, ConfigError if the keys are not in order.
        """
        super().__init__(endpoint, zmq.DEALER, calls.ENDPOINT, keys)
        self._ids = itertools.count(1)

    def call(self, method: str, /, *, timeout: float = calls.DEADLINE_MS / 1000.0, **params: Any) -> Any:
        """What `method` answers to the params within `timeout` seconds.

        Raises CallError, whose `code` says why it was not done, and DeviceError if no daemon answers.
        """
        asked = Call(next(self._ids), method, params, max(1, round(timeout * 1000)))
        self._socket.send(msgspec.json.encode(asked), zmq.NOBLOCK)
        until = time.monotonic() + timeout + _GRACE_S
        while parts := self._receive(until - time.monotonic()):
            answer = calls.decode_answer(parts)
            # An answer to a call that we gave up is not for this one.
            if answer.id not in (asked.id, None):
                continue
            if isinstance(answer, Done):
                return answer.ok
            raise CallError(answer.error.code, answer.error.text)
        raise DeviceError(f"{self.endpoint}: no daemon answers; is `streamrnn serve` running, with control there?")
