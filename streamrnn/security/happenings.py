"""What the monitor of a socket tells of its connections; pyzmq's own reader imports asyncio for it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_FIRST = struct.Struct("=HI")  # https://libzmq.readthedocs.io/en/latest/zmq_socket_monitor.html


@dataclass(frozen=True, slots=True)
class Happening:
    """A `zmq.EVENT_...`, its value (of most a descriptor) and at which endpoint."""

    event: int
    value: int
    endpoint: str


def read(parts: Sequence[bytes]) -> Happening:
    """The two parts of a message of a monitor's socket."""
    event, value = _FIRST.unpack(parts[0])
    return Happening(event, value, parts[1].decode())
