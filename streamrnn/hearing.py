"""What a daemon asks of its engine, wherever it runs, and the one that runs on the daemon's own thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from streamrnn.engine import Engine, Serving
from streamrnn.errors import StreamError
from streamrnn.events import Event
from streamrnn.sessions import Counts
from streamrnn.snapshot import Snapshot


class Hearing(Protocol):
    """Streams are opened, given samples and finished, steps tell events: `Engine` has the page of what these mean."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that are open."""

    @property
    def servings(self) -> tuple[Serving, ...]:
        """The bundles that streams are attached to when they open."""

    @property
    def load(self) -> float:
        """The share of one core that the streams take where the next stream would be heard."""

    @property
    def pending(self) -> bool:
        """Whether a step would bring something, now or after a wait that has to be."""

    @property
    def lacking(self) -> str:
        """Why nothing can be heard, for people; "" if it can."""

    def rate(self, stream: str) -> int:
        """The sample rate of an open stream. Raises StreamError."""

    def counts(self, stream: str) -> Counts:
        """What has come of an open stream so far. Raises StreamError."""

    def over(self, stream: str) -> bool:
        """Whether all has been told of the finished streams of a name."""

    def open(
        self,
        stream: str,
        rate: int,
        channels: int,
        bundles: Sequence[str] | None = None,
        *,
        epoch: int = 0,
        start: int = 0,
    ) -> None:
        """A stream begins. Raises StreamError."""

    def restore(self, snapshot: Snapshot, bundles: Sequence[str] | None = None) -> None:
        """A stream goes on. Raises StreamError, and opens nothing."""

    def snapshots(self, streams: Iterable[str]) -> dict[str, Snapshot]:
        """Snapshots of those of these open streams that are settled."""

    def push(self, stream: str, start: int, samples: NDArray[Any]) -> None:
        """Samples of an open stream. Raises StreamError."""

    def lose(self, stream: str, end: int, reason: str) -> None:
        """Samples up to `end` never came. Raises StreamError."""

    def forget(self, stream: str, reason: str) -> None:
        """What was heard is forgotten. Raises StreamError."""

    def finish(self, stream: str) -> None:
        """The stream is over. Raises StreamError."""

    def step(self) -> list[Event]:
        """What there is to tell next."""

    def drain(self) -> None:
        """From now on all that was given is waited for: until it has been heard, it is `pending`."""

    def abandon(self, reason: str) -> list[Event]:
        """Finished streams are heard no further: gaps where samples still wait."""

    def swap(self, servings: Sequence[Serving]) -> None:
        """Serve these bundles from now on. Raises ConfigError."""

    def promote(self, name: str) -> frozenset[str]:
        """A shadow goes on as the bundle beside which it runs. Raises ConfigError or StreamError."""

    def close(self) -> None:
        """Nothing will be heard any more."""


class Here(Engine):
    """The engine on the daemon's own thread: what a step does not do now is not done meanwhile either."""

    lacking = ""

    def over(self, stream: str) -> bool:
        """Whether all has been told of the finished streams of a name."""
        return stream not in self._ending

    def snapshots(self, streams: Iterable[str]) -> dict[str, Snapshot]:
        """Snapshots of those of these open streams that are settled."""
        taken = {}
        for stream in streams:
            with contextlib.suppress(StreamError):
                taken[stream] = self.snapshot(stream)
        return taken

    def drain(self) -> None:
        """Nothing is on its way elsewhere."""

    def close(self) -> None:
        """Nothing is open."""
