"""What a test sets before a daemon, or in place of one, in ZeroMQ's own words."""

from __future__ import annotations

from typing import Any

import zmq


class _Context(zmq.Context[Any]):
    """Closes the sockets of a test that fails: left open they would fail another that has nothing to do with it."""

    def __exit__(self, *_: object) -> None:
        # ZeroMQ's own warns of open sockets instead, which is an error here, and leaves them.
        self.destroy()


def context() -> zmq.Context[Any]:
    """A context that holds up no test: ZeroMQ's own would wait for ever to send what nobody reads any more."""
    made = _Context()
    made.linger = 500
    return made
