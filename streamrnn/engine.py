"""The engine: many streams through many recognizers in batched steps; no clock, no thread, no input or output.

`open` a stream, `push` its samples in chunks of any size, `step` until nothing is `pending`, `finish` it. A step is a
bounded round: of each bundle, the streams that have waited longest, a capped number of hops of each, so that an hour of
backlog on one stream cannot starve a live one. What comes out is the same for any chunks and any company (the law).

Frame `f` of an epoch covers the recognizer's samples `[f * hop, (f + 1) * hop)` of it; sample `m` of those lies at
source sample `epoch start + round(m * source rate / rate)`. An event's `sample` is the source sample just past the
frame that decided it; a resampler in between has waited for up to `resampling.delay` samples more. When samples end, by
`finish` or by a gap, zeros bring out what the delays of network and decoder hold back; no event reaches into them.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.backends import ArrayState
from streamrnn.errors import ConfigError, StreamError, did_you_mean
from streamrnn.events import Event
from streamrnn.pool import Pool, Serving
from streamrnn.serving import serving
from streamrnn.sessions import NEVER, Counts, Session
from streamrnn.snapshot import Snapshot
from streamrnn.stretch import Reader

__all__ = ["Engine", "Serving", "serving"]


class Engine:
    """Streams, the bundles they are attached to, and what each still has to hear."""

    def __init__(self, servings: Sequence[Serving], *, rows_a_call: int = 64, round_s: float = 1.0) -> None:
        """A round takes at most `rows_a_call` streams of a bundle and `round_s` seconds of each.

        Raises ConfigError if two bundles share a name.
        """
        self._limits = rows_a_call, round_s
        self._served: dict[str, Pool] = {}  # by the name of the bundle
        self._pools: dict[str, Pool] = {}  # by key: those, and before them those that they relieve
        self._made = 0
        self._sessions: dict[str, Session] = {}
        self.swap(servings)
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

    @property
    def load(self) -> float:
        """The share of one core that the streams take, by what was measured of the bundles that hear them."""
        return sum(pool.serving.cost * pool.rows for pool in self._pools.values())

    def swap(self, servings: Sequence[Serving]) -> None:
        """Serve these bundles from now on, between two hops and without a loss.

        One that is the same (sha and decoder) goes on with all that it remembers. Another of a name that is served, or
        a new one, hears open streams from now on and tells what is decided once it is warm; the one before tells what
        is decided until then. One that is not named any more is let go. Raises ConfigError, and changes nothing, if
        two share a name.
        """
        names = [each.name for each in servings]
        for name in [name for name in names if names.count(name) > 1]:
            raise ConfigError(f"bundles: two are named {name!r}; give one another name")
        for name in [name for name in self._served if name not in names]:
            self._relieve(self._served.pop(name), {})
        for each in servings:
            before = self._served.pop(each.name, None)
            if before is not None and (before.serving.sha, before.serving.made) == (each.sha, each.made):
                before.become(each)
                self._served[each.name] = before
                continue
            self._made += 1
            pool = self._served[each.name] = Pool(each, f"{each.name}/{self._made}", *self._limits)
            self._pools[pool.key] = pool
            since = self._listen(pool)
            if before is not None:
                self._relieve(before, since)

    def _listen(self, pool: Pool) -> dict[str, int]:
        """Let a pool hear the streams that are open; by stream: after which sample it tells."""
        since = {}
        for session in self._sessions.values():
            fits = pool.serving.recognizer.channels in (1, session.channels)
            if fits and (not session.attached or pool.serving.named(session.attached)):
                since[session.stream] = self._join(session, pool)
        return since

    @staticmethod
    def _join(session: Session, pool: Pool) -> int:
        """Let a pool hear a stream from now on; after which sample it tells."""
        takes = pool.serving.recognizer
        listener = pool.attach(session, Reader(pool.key, takes.rate, takes.channels))
        session.join(listener, takes.warm_up)
        return listener.since

    def promote(self, name: str) -> frozenset[str]:
        """A shadow goes on as the bundle beside which it runs, under its name and with all that it remembers.

        That one tells no more, but of streams in which the shadow is not warm yet; the others are returned. Raises
        ConfigError if there is no such shadow, StreamError if samples wait for a step.
        """
        pool = self._served.get(name)
        if pool is None or not pool.serving.beside:
            raise ConfigError(f"{name}: no such shadow is served")
        if self.pending:
            raise StreamError(f"{name}: samples wait to be heard; step until nothing is pending")
        place = pool.serving.beside
        since = {
            session.stream: NEVER if each.since <= session.counts.expected else each.since
            for session in self._sessions.values()
            for each in session.listeners
            if each.reader.bundle == pool.key
        }
        self._relieve(self._served[place], since)
        pool.become(dataclasses.replace(pool.serving, name=place, beside=""))
        self._served = {key: pool if key == place else each for key, each in self._served.items() if key != name}
        return frozenset(stream for stream, sample in since.items() if sample == NEVER)

    def _relieve(self, pool: Pool, since: dict[str, int]) -> None:
        """Let a pool tell what is decided until another tells it, and no more."""
        for session in self._sessions.values():
            for listener in session.listeners:
                if listener.reader.bundle == pool.key:
                    listener.until = min(listener.until, since.get(session.stream, session.counts.expected))

    @property
    def servings(self) -> tuple[Serving, ...]:
        """The bundles that streams are attached to when they open."""
        return tuple(pool.serving for pool in self._served.values())

    def rate(self, stream: str) -> int:
        """The sample rate of an open stream, in Hz. Raises StreamError if it is not open."""
        return self._session(stream).rate

    def counts(self, stream: str) -> Counts:
        """What has come of an open stream so far. Raises StreamError if it is not open."""
        return self._session(stream).counts

    def states(self, stream: str) -> dict[str, ArrayState]:
        """What each bundle remembers of an open stream, by the bundle's name: copies `(1, ...)` of its state.

        That of a bundle that has not heard all yet (`pending`) is behind. Raises StreamError if it is not open.
        """
        pools = [(self._pools[each.reader.bundle], each) for each in self._session(stream).listeners]
        return {pool.serving.name: pool.state(listener) for pool, listener in pools}

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
        """Attach a stream to bundles, to all if none are named; it counts from `epoch` and from sample `start`.

        A bundle of one channel hears the mean of a stream's channels. A name is free again as soon as its stream is
        finished; the new stream is then heard after the last event of the old one. Raises StreamError.
        """
        pools = self._chosen(stream, bundles)
        self._begin(stream, rate, channels, pools, epoch=epoch, start=start).attached = tuple(bundles or ())

    def _begin(
        self, stream: str, rate: int, channels: int, pools: Sequence[Pool], *, epoch: int, start: int
    ) -> Session:
        if stream in self._sessions:
            raise StreamError(f"{stream}: is already open; finish it first or take another name")
        if rate < 1 or channels < 1:
            raise StreamError(f"{stream}: {rate} Hz with {channels} channels; both must be at least 1")
        readers = []
        for pool in pools:
            takes = pool.serving.recognizer
            if takes.channels not in (1, channels):
                needs = f"{pool.serving.name} takes {takes.channels}; open it with as many"
                raise StreamError(f"{stream}: has {channels} channels and {needs}")
            readers.append(Reader(pool.key, takes.rate, takes.channels))
        session = Session(stream, rate, channels, readers, epoch=epoch, start=start)
        for pool, reader in zip(pools, readers, strict=True):
            session.listeners.append(pool.attach(session, reader))
        self._sessions[stream] = session
        if stream in self._ending:
            self._ending[stream].append(session)
        return session

    def snapshot(self, stream: str) -> Snapshot:
        """All that is remembered of an open stream, as data: an engine that is given it goes on as this one would.

        Raises StreamError if the stream is not open, or if samples or events of it wait for a step.
        """
        session = self._session(stream)
        if stream in self._ending or not session.settled:
            raise StreamError(f"{stream}: samples of it wait to be heard; step until nothing is pending")
        pools = [(self._pools[each.reader.bundle], each) for each in session.listeners]
        # One that is being relieved is not gone on with.
        listeners = tuple(pool.remembered(each) for pool, each in pools if pool in self._served.values())
        return msgspec.structs.replace(session.remembered(), listeners=listeners)

    def restore(self, snapshot: Snapshot, bundles: Sequence[str] | None = None) -> None:
        """Open a stream where a snapshot was taken: it goes on with sample `expected`, in the same epoch.

        Raises StreamError, and opens nothing, if it is open already or if a bundle is not the one of the snapshot.
        """
        stream = snapshot.stream
        if stream in self._ending:
            raise StreamError(f"{stream}: one of its name is not over yet; step until nothing is pending")
        known = {each.bundle: each for each in snapshot.listeners}
        pools: list[Pool] = []
        anew: list[Pool] = []
        for pool in self._chosen(stream, bundles):
            name = pool.serving.name
            refusal = pool.refusal(known[name]) if name in known else f"bundle {name} did not hear it"
            if refusal and not pool.serving.beside:
                raise StreamError(f"{stream}: {refusal}; its state cannot be restored")
            # A shadow that is new hears along from now on: it must not cost the others their memory.
            (anew if refusal else pools).append(pool)
        session = self._begin(
            stream, snapshot.rate, snapshot.channels, pools, epoch=snapshot.epoch, start=snapshot.expected
        )
        session.attached = tuple(bundles or ())
        readings = {
            each.reader: pool.resume(each, known[pool.serving.name])
            for pool, each in zip(pools, session.listeners, strict=True)
        }
        session.resume(snapshot, readings)
        for pool in anew:
            self._join(session, pool)
        self._notice(session)

    def forget(self, stream: str, reason: str) -> None:
        """What was heard is forgotten: a gap of no samples, and why, and a new epoch. Raises StreamError."""
        session = self._session(stream)
        session.forget(reason)
        self._notice(session)

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

    def abandon(self, reason: str) -> list[Event]:
        """Hear finished streams no further: what there is to tell of them, and gaps where samples still wait."""
        events: list[Event] = []
        while any(queue[0].ended for queue in self._ending.values()):
            events += [event for pool in self._pools.values() for event in pool.abandon(reason)]
            self._let_go()
        return events

    def _session(self, stream: str) -> Session:
        try:
            return self._sessions[stream]
        except KeyError:
            raise StreamError(f"{stream}: no such stream is open; {did_you_mean(stream, self._sessions)}") from None

    def _chosen(self, stream: str, bundles: Sequence[str] | None) -> list[Pool]:
        names = list(self._served) if bundles is None else list(dict.fromkeys(bundles))
        for name in names:
            if name not in self._served:
                raise StreamError(f"{stream}: bundle {name!r} is not served; {did_you_mean(name, self._served)}")
        if not names:
            raise StreamError(f"{stream}: is attached to no bundle; name at least one")
        return [each for each in self._served.values() if each.serving.named(names)]

    def _notice(self, session: Session) -> None:
        """Let those of its listeners that have something to do wait for a round, unless an older stream comes first."""
        before = self._ending.get(session.stream)
        if before is None or before[0] is session:
            for listener in session.listeners:
                self._pools[listener.reader.bundle].notice(listener)

    def _let_go(self) -> None:
        """Forget finished streams that have said all, and let the next of their name be heard; and unused pools."""
        served = self._served.values()
        self._pools = {key: pool for key, pool in self._pools.items() if pool in served or pool.rows}
        for stream in [name for name, queue in self._ending.items() if queue[0].ended and not queue[0].listeners]:
            queue = self._ending[stream]
            queue.popleft()
            if not queue or not queue[0].ended:
                del self._ending[stream]
            for following in list(queue)[:1]:
                self._notice(following)
