"""Writes a journal by a thread of its own: a slow or full disk must not hold up the engine."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import Literal

from streamrnn.journal import Journal

_WAITING = 20_000  # records that may wait for the disk
_SYNC_S = 1.0

Sync = Literal["each", "second", "never"]


class Writer:
    """Appends records in order; those that find no room or no disk are counted, and the next are tried again."""

    def __init__(self, journal: Journal, sync: Sync) -> None:
        self.journal = journal
        self.lost = 0
        self.trouble = ""  # why the last one was lost
        self._sync = sync
        self._waiting: queue.Queue[tuple[int, bytes] | threading.Event | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, number: int, payload: bytes) -> None:
        """Put a record behind the others; never waits."""
        try:
            self._waiting.put_nowait((number, payload))
        except queue.Full:
            self.lost += 1
            self.trouble = "the disk is too slow"

    def flush(self, seconds: float) -> None:
        """From any thread but the engine's: wait until what was put so far is in the files, or so many seconds."""
        done = threading.Event()
        try:
            self._waiting.put(done, timeout=seconds)
        except queue.Full:
            return
        done.wait(seconds)

    def close(self, seconds: float) -> str:
        """Write what waits, for at most so many seconds; what was lost and why, "" if nothing."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        self._thread.join(seconds)
        left = self._waiting.qsize()
        if self._thread.is_alive() and left:
            self.lost, self.trouble = self.lost + left, "the disk is too slow"
        return f"{self.lost} messages are not in it: {self.trouble}" if self.lost else ""

    def _run(self) -> None:
        unsynced, due = False, 0.0
        while True:
            try:
                put = self._waiting.get(timeout=max(0.0, due - time.monotonic()) if unsynced else None)
            except queue.Empty:
                put = threading.Event()  # it is only time to sync
            if put is None:
                break
            if isinstance(put, threading.Event):
                put.set()
            else:
                self._append(*put)
                if not unsynced and self._sync != "never":
                    unsynced, due = True, time.monotonic() + (_SYNC_S if self._sync == "second" else 0.0)
            # Those that wait go into the same sync, which is why `each` costs little.
            if unsynced and time.monotonic() >= due and (self._sync == "second" or self._waiting.empty()):
                unsynced = False
                self._settle()
        self.journal.close()

    def _append(self, number: int, payload: bytes) -> None:
        try:
            self.journal.append(number, payload)
        except OSError as error:
            self.lost += 1
            self.trouble = error.strerror or str(error)

    def _settle(self) -> None:
        try:
            self.journal.sync()
        except OSError as error:
            self.trouble = error.strerror or str(error)
