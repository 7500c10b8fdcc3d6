"""Handover: a thread that may wait lets the engine's thread do something between two hops, and has what came of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streamrnn.errors import DeviceError, UserError
from streamrnn.sources.bell import Bell

_WAIT_S = 30.0  # how long the engine's thread may take until it is between two hops


@dataclass(slots=True)
class _Job:
    """What is to be done; `done` once it was, or will not be because of the `errors`."""

    do: Callable[[], None]
    errors: list[UserError] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    given_up: bool = False


class Handover:
    """Any thread may `ask` or `leave`; the engine's does its `work` when its bell has rung."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._jobs: deque[_Job] = deque()
        self._lock = threading.Lock()

    def leave(self, do: Callable[[], None]) -> _Job:
        """Have it done, whenever that is, and do not wait; from signal handlers too, for it takes no lock."""
        job = _Job(do)
        self._jobs.append(job)
        self._bell.ring()
        return job

    def ask(self, do: Callable[[], None]) -> None:
        """Wait until it is done. Raises the UserError that `do` does, and DeviceError if it was not begun in time."""
        job = self.leave(do)
        if not job.done.wait(_WAIT_S):
            with self._lock:
                job.given_up = not job.done.is_set()
        if job.given_up:
            raise DeviceError("the engine did not come to it in time; ask again")
        for error in job.errors:
            raise error

    def work(self) -> None:
        """From the engine's thread: do what is asked for."""
        while self._jobs:
            job = self._jobs.popleft()
            with self._lock:  # who has given up takes back what it built: nothing is done behind its back
                if job.given_up:
                    continue
                try:
                    job.do()
                except UserError as error:
                    job.errors.append(error)
                job.done.set()
