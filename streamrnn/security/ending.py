"""The end of a ZeroMQ context within a promised time, whatever its peers do at that moment."""

from __future__ import annotations

import threading
from typing import Any

import zmq

# Of every server socket from its birth: libzmq gives a connection that ends by itself the linger its socket has then.
# With the usual one, for ever, an answer to a client that is just leaving held up `term` for ever (about once in 2,000
# closes of a ROUTER; libzmq 4.3.5, see also its issues 2586 and 3252).
LINGER_MS = 200
_GRACE_S = 0.5  # beyond its sockets' linger


def end(context: zmq.Context[Any], linger_s: float) -> bool:
    """Terminate a context whose sockets are closed; whether it has ended `linger_s` seconds and a grace from now.

    One that has not is left to a thread of its own, so that what libzmq does not let go holds up nobody.
    """
    thread = threading.Thread(target=context.term, name="end of a context", daemon=True)
    thread.start()
    thread.join(linger_s + _GRACE_S)
    return not thread.is_alive()
