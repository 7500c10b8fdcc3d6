"""What a test sets before a daemon, or in place of one, in ZeroMQ's own words."""

from __future__ import annotations

from typing import Any

import zmq


def context() -> zmq.Context[Any]:
    """A context that holds up no test: ZeroMQ's own would wait for ever to send what nobody reads any more."""
    made = zmq.Context()
    made.linger = 500
    return made
