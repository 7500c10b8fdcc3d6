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
        self.failing = False  # whether the disk did not take what was last put
        self._sync = sync
        self._waiting: queue.Queue[tuple[int, bytes] | threading.Event | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, number: int, payload: bytes) -> None:
        """Put a record behind the others; never waits."""
        try:
            self._waiting.put_nowait((number, payload))
        except queue.Full:
            self._lose(1, "the disk is too slow")

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
            self._lose(left, "the disk is too slow")
        return f"{self.lost} messages are not in it: {self.trouble}" if self.lost else ""

    def _run(self) -> None:
        unsynced, due = 0, 0.0  # records that a loss of power would cost, and when they are to be synced
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
                written = self._append(*put)
                if not unsynced:
                    due = time.monotonic() + (_SYNC_S if self._sync == "second" else 0.0)
                unsynced += written if self._sync != "never" else 0
            # Those that wait go into the same sync, which is why `each` costs little.
            if unsynced and time.monotonic() >= due and (self._sync == "second" or self._waiting.empty()):
                self._settle(unsynced)
                unsynced = 0
        self.journal.close()

    def _append(self, number: int, payload: bytes) -> int:
        """How many records are written now, and not synced yet."""
        try:
            self.journal.append(number, payload)
        except OSError as error:
            self._lose(1, error.strerror or str(error))
            return 0
        # Where it is synced, that shows whether the disk has taken it.
        self.failing = self.failing and self._sync != "never"
        return 1

    def _settle(self, unsynced: int) -> None:
        try:
            self.journal.sync()
            self.failing = False
        except OSError as error:
            # The system may drop what it could not write, and says so only once.
            self._lose(unsynced, error.strerror or str(error))

    def _lose(self, records: int, reason: str) -> None:
        self.lost += records
        self.trouble, self.failing = reason, True
