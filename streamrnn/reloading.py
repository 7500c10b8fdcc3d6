"""Reload: config and bundles are read, built and proved beside the running ones, and take their place between two hops.

What cannot be read, built or proved leaves everything as it was. Only the bundles are changed: sources, sinks and the
rest of a config are those of the start.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streamrnn.bundle import Bundle
from streamrnn.daemon_config import DaemonConfig
from streamrnn.engine import Serving
from streamrnn.errors import DeviceError, UserError
from streamrnn.sources.bell import Bell

Built = tuple[list[tuple[Bundle, str]], list[Serving]]
_SWAP_S = 30.0  # how long the engine's thread may take until it is between two hops


@dataclass(slots=True)
class _Job:
    """What is to take over, or why nothing can; `done` once the engine's thread has seen to it."""

    built: tuple[Built, ...]
    error: str
    done: threading.Event = field(default_factory=threading.Event)


class Reloader:
    """One reload at a time: built on the thread that asks for it, put in place by the engine's."""

    def __init__(self, reread: Callable[[], DaemonConfig], build: Callable[[DaemonConfig], Built], bell: Bell) -> None:
        """`reread` gives the config as it is now; `build` opens and proves its bundles. Both may raise UserError."""
        self.generation = 1  # how many sets of bundles have been served
        self._reread, self._build, self._bell = reread, build, bell
        self._one_at_a_time = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._asked = False

    def ask(self) -> None:
        """From a signal handler: reload soon; what comes of it is published."""
        self._asked = True
        self._bell.ring()

    def reload(self) -> int:
        """From a thread that may wait: reload; the generation then. Raises UserError if all stays as it was."""
        with self._one_at_a_time:
            try:
                job = _Job((self._build(self._reread()),), "")
            except UserError as error:
                job = _Job((), " ".join(str(error).split()))
            self._jobs.append(job)
            self._bell.ring()
            if not job.done.wait(_SWAP_S):
                raise DeviceError("the engine did not come to the reload in time; it will still do it")
            if job.error:
                raise UserError(job.error)
            return self.generation

    def work(self, swap: Callable[[Built], None], tell: Callable[[str, str], None]) -> None:
        """From the engine's thread, between hops: put in place what is ready, and tell `(state, text)` of it."""
        if self._asked:
            self._asked = False
            threading.Thread(target=self._reload_alone, name="reload", daemon=True).start()
        while self._jobs:
            job = self._jobs.popleft()
            try:
                for built in job.built:
                    swap(built)
                    self.generation += 1
            except UserError as error:
                job.error = " ".join(str(error).split())
            if job.error:
                tell("kept", f"generation {self.generation} goes on: {job.error}")
            else:
                tell("reloaded", f"generation {self.generation}")
            job.done.set()

    def _reload_alone(self) -> None:
        try:
            self.reload()
        except UserError:
            return  # it has been told
