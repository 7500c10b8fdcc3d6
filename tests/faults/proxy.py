"""A cable that can be cut, frozen, or made slow and unsteady: TCP from a port of its own to one of the daemon's."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Self

_LARGEST = 1 << 16


class Proxy:
    """Passes bytes both ways. `frozen`: connections stand and nothing passes, as when a cable is pulled.

    `loss` is the share of reads that wait 0.2 s, which is what a lost packet costs TCP until it is sent again.
    """

    def __init__(self, endpoint: str, loss: float = 0.0) -> None:
        host, port = endpoint.removeprefix("tcp://").split(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.loss = loss
        self.delayed = self.passed = 0
        self.frozen = threading.Event()
        self._stopped = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept)]

    def cut(self) -> None:
        """End all connections with a reset, without a word."""
        for pair in self._pairs:
            for each in pair:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stopped.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(self._target, 2)
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            thread = threading.Thread(target=self._pass, args=(client, server))
            thread.start()
            self._threads.append(thread)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, contextlib.suppress(OSError, ValueError):
            while not self._stopped.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.05)
                if self.frozen.is_set():
                    time.sleep(0.02)
                    continue
                for each in ready:
                    data = each.recv(_LARGEST)
                    if not data:
                        return
                    self.passed += 1
                    if self.loss and self.passed % round(1 / self.loss) == 0:
                        self.delayed += 1
                        time.sleep(0.2)
                    (server if each is client else client).sendall(data)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listener.close()
