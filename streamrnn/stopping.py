"""How a process is asked to stop: the first signal drains, the second ends it at once, and time ends it anyway.

Signals are taken by a thread of their own, which hears of them as they come: Python's handlers wait for the main
thread, which may be in a call that takes long, or that never comes back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

STOP_S = 2.0  # in which a daemon that is asked to stop is promised to be gone
# By when it goes with what has not ended then: the rest is the system's, which also has to take the process apart.
GONE_S = 1.6


@contextlib.contextmanager
def heed_signals(stop: Callable[[str], None], reload: Callable[[], None] | None = None) -> Iterator[None]:
    """While inside, SIGTERM and SIGINT call `stop` with their name; `GONE_S` after the first the process is gone.

    SIGHUP calls `reload` if it is given. Both are called from another thread.
    """
    numbers = [signal.SIGTERM, signal.SIGINT]
    if sys.platform != "win32" and reload is not None:
        numbers.append(signal.SIGHUP)
    told, teller = socket.socketpair()
    teller.settimeout(0)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    woken = signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)
    taker = threading.Thread(target=_take, args=(told, stop, reload or (lambda: None)), name="signals", daemon=True)
    taker.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        teller.close()
        taker.join(0.1)  # it goes at once, unless it waits for the end that was asked for


def leave(code: int) -> NoReturn:
    """End this process, all of whose work is done and written: what there is left to take apart is the system's.

    The interpreter would need 0.1 s for it, and 0.6 s on a machine that is busy.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def leave_with_stdin() -> None:
    """End this process at once when its standard input ends: whoever held the other end, its parent, is gone.

    It works on every system and however the parent ended, which no signal and no handler of the parent does.
    """

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _take(told: socket.socket, stop: Callable[[str], None], reload: Callable[[], None]) -> None:
    """Until the other end is closed: what each signal means, and the end that time makes after the first to stop."""
    until = 0.0  # 0.0: nobody has asked
    with told:
        while True:
            told.settimeout(max(0.001, until - time.monotonic()) if until else None)
            try:
                numbers = told.recv(64)
            except TimeoutError:
                _give_up()
            if not numbers and not until:
                return
            if not numbers:  # it has left the context, and takes long to end
                time.sleep(max(0.0, until - time.monotonic()))
                _give_up()
            for number in numbers:
                if number not in (signal.SIGTERM, signal.SIGINT):
                    # The others that are told here and mean nothing to us have handlers of their own.
                    if number == getattr(signal, "SIGHUP", 0):
                        reload()
                elif until:
                    os._exit(128 + number)
                else:
                    until = time.monotonic() + GONE_S
                    stop(signal.Signals(number).name)


def _give_up() -> NoReturn:
    with contextlib.suppress(OSError, ValueError):
        os.write(2, b"streamrnn: something did not end in time; stopped without it\n")
    os._exit(1)
