"""What systemd is told: datagrams to the socket that NOTIFY_SOCKET names, as sd_notify(3) has it."""

from __future__ import annotations

import contextlib
import os
import socket

_OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Tells the service manager how we are; without one every call does nothing. Never waits and never fails."""

    def __init__(self, address: str, watchdog_s: float) -> None:
        """`address` is the path of a datagram socket, "@" for an abstract one, "" for none."""
        self.watchdog_s = watchdog_s  # how long the manager waits for WATCHDOG=1; 0: for ever
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None

    def tell(self, *lines: str) -> None:
        """Send `READY=1`, `WATCHDOG=1`, `STATUS=...` and the like, as one datagram."""
        if self._socket is None:
            return
        message = "\n".join(" ".join(line.split("\n")) for line in lines).encode()
        # A manager that does not read must not stop who tells it; what it misses is told again.
        with contextlib.suppress(OSError):
            self._socket.sendto(message, socket.MSG_DONTWAIT, self._address)

    def close(self) -> None:
        """Let the socket go."""
        if self._socket is not None:
            self._socket.close()


def take_from_environment() -> Notifier:
    """The notifier that the environment describes; its variables are taken out, so that no child speaks for us."""
    address, microseconds, process = (os.environ.pop(name, "") for name in _OURS)
    meant = process in ("", str(os.getpid()))
    watchdog_s = int(microseconds) / 1e6 if meant and microseconds.isdecimal() else 0.0
    there = hasattr(socket, "AF_UNIX") and address.startswith(("/", "@"))
    return Notifier(address if there else "", watchdog_s)
