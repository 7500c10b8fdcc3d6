"""How a process is asked to stop: the first signal drains, the second ends it at once, and time ends it anyway."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

GONE_S = 1.9


@contextlib.contextmanager
def heed_signals(stop: Callable[[str], None], reload: Callable[[], None] | None = None) -> Iterator[None]:
    """While inside, SIGTERM and SIGINT call `stop` with their name; `GONE_S` after the first the process is gone.

    SIGHUP calls `reload` if it is given.
    """
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            os._exit(128 + number)
        asked.set()
        # A thread that sleeps: it fires also when ours hangs in a call that never comes back.
        watchdog = threading.Timer(GONE_S, _leave)
        watchdog.daemon = True
        watchdog.start()
        stop(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    if sys.platform != "win32" and reload is not None:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda number, frame: reload())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def _leave() -> None:
    with contextlib.suppress(OSError, ValueError):
        print("streamrnn: something did not end in time; stopped without it", file=sys.stderr, flush=True)
    os._exit(1)
