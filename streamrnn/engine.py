"""The engine: many streams through many recognizers in batched steps; no clock, no thread, no input or output.

`open` a stream, `push` its samples in chunks of any size, `step` until nothing is `pending`, `finish` it. A step is a
bounded round: of each bundle, the streams that have waited longest, a capped number of hops of each, so that an hour of
backlog on one stream cannot starve a live one. What comes out is the same for any chunks and any company (the law).

Frame `f` of an epoch covers the recognizer's samples `[f * hop, (f + 1) * hop)` of it; sample `m` of those lies at
source sample `epoch start + round(m * source rate / rate)`. An event's `sample` is the source sample just past the
frame that decided it; a resampler in between has waited for up to `resampling.delay` samples more. When samples end, by
`finish` or by a gap, zeros bring out what the delays of network and decoder hold back; no event reaches beyond the last
true sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamrnn import decoders
from streamrnn.backends import ArrayState
from streamrnn.errors import ConfigError, StreamError, did_you_mean
from streamrnn.events import Event
from streamrnn.pool import Pool, Serving
from streamrnn.sessions import Counts, Reader, Session

if TYPE_CHECKING:
    from streamrnn.bundle import Bundle

__all__ = ["Engine", "Serving", "serving"]


def serving(bundle: Bundle, backend: str = "onnx") -> Serving:
    """A bundle ready to serve on a backend, with thresholds that keep its decoder's budget if it has one.

    Raises BundleError or ConfigError if it cannot be.
    """
    from streamrnn.bundle import open_step, with_decoder

    bundle = with_decoder(bundle, {}, "")
    recognizer = bundle.recognizer
    return Serving(
        name=recognizer.name,
        sha=bundle.sha,
        recognizer=recognizer,
        step=open_step(bundle, backend),
        initial=bundle.initial,
        decoder=decoders.build(recognizer.config.decoder, recognizer),
    )


class Engine:
    """Streams, the bundles they are attached to, and what each still has to hear."""

    def __init__(self, servings: Sequence[Serving], *, rows_a_call: int = 64, round_s: float = 1.0) -> None:
        """A round takes at most `rows_a_call` streams of a bundle and `round_s` seconds of each.

        Raises ConfigError if two bundles share a name.
        """
        self._pools: dict[str, Pool] = {}
        for each in servings:
            if each.name in self._pools:
                raise ConfigError(f"bundles: two are named {each.name!r}; give one another name")
            self._pools[each.name] = Pool(each, rows_a_call, round_s)
        self._sessions: dict[str, Session] = {}
        # By name: finished streams whose last events are not out yet, the oldest first, and what was opened after them.
        self._ending: dict[str, deque[Session]] = {}

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that are open."""
        return tuple(self._sessions)

    @property
    def pending(self) -> bool:
        """Whether a step would do anything."""
        return any(pool.waiting for pool in self._pools.values())

    def counts(self, stream: str) -> Counts:
        """What has come of an open stream so far. Raises StreamError if it is not open."""
        return self._session(stream).counts

    def states(self, stream: str) -> dict[str, ArrayState]:
        """What each bundle remembers of an open stream, by the bundle's name: copies `(1, ...)` of its state.

        That of a bundle that has not heard all yet (`pending`) is behind. Raises StreamError if it is not open.
        """
        listeners = self._session(stream).listeners
        return {each.reader.bundle: self._pools[each.reader.bundle].state(each) for each in listeners}

    def open(
        self, stream: str, rate: int, channels: int, bundles: Sequence[str] | None = None, *, epoch: int = 0
    ) -> None:
        """Attach a stream to bundles, to all if none are named; its epochs are counted from `epoch`.

        A bundle of one channel hears the mean of a stream's channels. A name is free again as soon as its stream is
        finished; the new stream is then heard after the last event of the old one. Raises StreamError.
        """
        if stream in self._sessions:
            raise StreamError(f"{stream}: is already open; finish it first or take another name")
        if rate < 1 or channels < 1:
            raise StreamError(f"{stream}: {rate} Hz with {channels} channels; both must be at least 1")
        pools = self._chosen(stream, bundles)
        readers = []
        for pool in pools:
            takes = pool.serving.recognizer
            if takes.channels not in (1, channels):
                raise StreamError(
                    f"{stream}: has {channels} channels and {pool.serving.name} takes {takes.channels}; "
                    "open it with as many"
                )
            readers.append(Reader(pool.serving.name, takes.rate, takes.channels))
        session = Session(stream, rate, channels, readers, epoch)
        for pool, reader in zip(pools, readers, strict=True):
            session.listeners.append(pool.attach(session, reader))
        self._sessions[stream] = session
        if stream in self._ending:
            self._ending[stream].append(session)

    def push(self, stream: str, start: int, samples: NDArray[Any]) -> None:
        """Samples `(time, channels)`, floats, of which the first is number `start` of the stream; any chunk will do.

        A `start` beyond what was expected is a gap, samples that came before are dropped, counted and told once a run,
        and samples that are not finite (or beyond 1e15) are a gap as well: all as events, for a live stream goes on.
        Raises StreamError if the stream is not open or the samples are empty or not of its make.
        """
        session = self._session(stream)
        session.push(int(start), np.asarray(samples))
        self._notice(session)

    def lose(self, stream: str, end: int, reason: str) -> None:
        """The samples up to `end` never came, and why: a gap, a fresh state, a new epoch. Raises StreamError."""
        session = self._session(stream)
        session.lose(int(end), reason)
        self._notice(session)

    def finish(self, stream: str) -> None:
        """The stream is over: its last events come out of the steps that follow. Raises StreamError."""
        session = self._session(stream)
        del self._sessions[stream]
        session.finish()
        if stream not in self._ending:
            self._ending[stream] = deque([session])
        self._notice(session)

    def step(self) -> list[Event]:
        """One bounded round over all bundles; the events of each stream by `sample`."""
        events = [event for pool in self._pools.values() for event in pool.step()]
        self._let_go()
        # Stable: what a bundle says of a stream stays in its order.
        events.sort(key=lambda event: event.sample)
        return events

    def run(self) -> list[Event]:
        """Step until nothing is pending."""
        events: list[Event] = []
        while self.pending:
            events += self.step()
        return events

    def _session(self, stream: str) -> Session:
        try:
            return self._sessions[stream]
        except KeyError:
            raise StreamError(f"{stream}: no such stream is open; {did_you_mean(stream, self._sessions)}") from None

    def _chosen(self, stream: str, bundles: Sequence[str] | None) -> list[Pool]:
        names = list(self._pools) if bundles is None else list(dict.fromkeys(bundles))
        for name in names:
            if name not in self._pools:
                raise StreamError(f"{stream}: bundle {name!r} is not served; {did_you_mean(name, self._pools)}")
        if not names:
            raise StreamError(f"{stream}: is attached to no bundle; name at least one")
        return [self._pools[name] for name in names]

    def _notice(self, session: Session) -> None:
        """Let those of its listeners that have something to do wait for a round, unless an older stream comes first."""
        before = self._ending.get(session.stream)
        if before is None or before[0] is session:
            for listener in session.listeners:
                self._pools[listener.reader.bundle].notice(listener)

    def _let_go(self) -> None:
        """Forget finished streams that have said all, and let the next of their name be heard."""
        for stream in [name for name, queue in self._ending.items() if queue[0].ended and not queue[0].listeners]:
            queue = self._ending[stream]
            queue.popleft()
            following = queue[0] if queue else None
            if following is None or not following.ended:
                del self._ending[stream]
            if following is not None:
                self._notice(following)
