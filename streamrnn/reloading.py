"""Reload: config and bundles are read, built and proved beside the running ones, and take their place between two hops.

What cannot be read, built or proved leaves everything as it was. Only the bundles are changed: sources, sinks and the
rest of a config are those of the start.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from streamrnn.bundle import Bundle
from streamrnn.daemon_config import DaemonConfig
from streamrnn.engine import Serving
from streamrnn.errors import UserError
from streamrnn.handover import Handover
from streamrnn.wire import Status

Built = tuple[list[tuple[Bundle, str]], list[Serving]]


class Reloader:
    """One reload at a time: built on the thread that asks for it, put in place by the engine's."""

    def __init__(
        self,
        reread: Callable[[], DaemonConfig],
        build: Callable[[DaemonConfig], Built],
        swap: Callable[[Built], None],
        *,
        tell: Callable[[Status], None],
        handover: Handover,
    ) -> None:
        """`reread` gives the config as it is now, `build` opens and proves its bundles; `swap` puts them in place and
        `tell` publishes what came of it, both on the engine's thread. The first three may raise UserError."""
        self.generation = 1  # how many sets of bundles have been served
        self._reread, self._build, self._swap, self._tell = reread, build, swap, tell
        self._handover = handover
        self._one_at_a_time = threading.Lock()

    def ask(self) -> None:
        """From a signal handler: reload soon; what comes of it is published."""
        self._handover.leave(threading.Thread(target=self._reload_alone, name="reload", daemon=True).start)

    def reload(self) -> int:
        """From a thread that may wait: reload; the generation then. Raises UserError if all stays as it was."""
        with self._one_at_a_time:
            try:
                built = self._build(self._reread())
                self._handover.ask(lambda: self._take_over(built))
            except UserError as error:
                told = " ".join(str(error).split())
                # Not waited for: it may be that the engine does not come to anything.
                self._handover.leave(
                    lambda: self._tell(Status("kept", f"generation {self.generation} goes on: {told}"))
                )
                raise UserError(told) from None
            return self.generation

    def _take_over(self, built: Built) -> None:
        self._swap(built)
        self.generation += 1
        self._tell(Status("reloaded", f"generation {self.generation}"))

    def _reload_alone(self) -> None:
        with contextlib.suppress(UserError):  # it is told
            self.reload()
