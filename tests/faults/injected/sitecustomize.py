"""Faults inside a process, put in before its program begins, by two variables of its environment.

`FAULT_DIES` is `N before FILE` or `N after FILE`: the Nth call of os.fsync or os.replace is its last, and is not done
or done; FILE gets a line for each call, from where it came. `FAULT_STALLS` is `SECONDS EVERY`: every so many seconds
nothing of the interpreter moves for so long, as when a library does not let go of its lock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


def put_in_death(nth: int, when: str, path: str) -> None:
    lock, log, calls = threading.Lock(), os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), [0]

    def deadly(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            frame = sys._getframe(1)
            while "streamrnn" not in frame.f_code.co_filename and frame.f_back:
                frame = frame.f_back
            place = f"{os.path.basename(frame.f_code.co_filename)} {frame.f_code.co_name} {name}"
            with lock:
                calls[0] += 1
                mine = calls[0]
                os.write(log, f"{mine} {place}\n".encode())
            if mine == nth and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            done = real(*arguments, **named)
            if mine == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return call

    os.fsync, os.replace = deadly("fsync", os.fsync), deadly("replace", os.replace)


def put_in_stalls(seconds: float, every: float) -> None:
    # Called through PyDLL a function keeps the lock of the interpreter.
    sleep = ctypes.PyDLL(None).usleep

    def stall() -> None:
        while True:
            time.sleep(every)
            sleep(round(seconds * 1e6))

    threading.Thread(target=stall, daemon=True).start()


if "FAULT_DIES" in os.environ:
    number, moment, file = os.environ["FAULT_DIES"].split(" ", 2)
    put_in_death(int(number), moment, file)
if "FAULT_STALLS" in os.environ:
    how_long, how_often = os.environ["FAULT_STALLS"].split()
    put_in_stalls(float(how_long), float(how_often))
