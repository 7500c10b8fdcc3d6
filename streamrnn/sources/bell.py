"""A bell: a socket that one thread can poll together with others, rung from any thread or signal handler."""

from __future__ import annotations

import contextlib
import socket


class Bell:
    """Rings are not counted: one or many wake whoever polls `socket`, until it is silenced."""

    def __init__(self) -> None:
        self.socket, self._hammer = socket.socketpair()
        for end in (self.socket, self._hammer):
            end.settimeout(0)
        self._rung = False

    def ring(self) -> None:
        """Wake whoever polls; takes no lock, and a second ring before the silence costs nothing."""
        if self._rung:
            return
        self._rung = True
        # A full socket wakes as well as with one byte more; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._hammer.send(b"\0")

    def silence(self) -> None:
        """To be called before looking at what the rings were for."""
        with contextlib.suppress(OSError):
            self.socket.recv(4096)
        # After the byte is read: a ring in between finds the flag set, and what it is for is looked at next.
        self._rung = False

    def close(self) -> None:
        """Let both ends go."""
        self.socket.close()
        self._hammer.close()
