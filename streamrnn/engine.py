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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamrnn import decoders
from streamrnn.backends import ArrayState, Step
from streamrnn.decoders import Decoder, Found
from streamrnn.errors import ConfigError, StreamError, did_you_mean
from streamrnn.events import BundleRef, Event, Heard, event_id, rounded
from streamrnn.recognizer import Recognizer
from streamrnn.resampling import to_source
from streamrnn.sessions import Counts, Listener, Reader, Reading, Session, Told
from streamrnn.table import Table

if TYPE_CHECKING:
    from streamrnn.bundle import Bundle

_ROWS_AT_FIRST = 4


@dataclass(frozen=True, slots=True)
class Serving:
    """One bundle as the engine sees it; `initial` holds `(1, ...)` arrays, the state of a stream that heard nothing."""

    name: str
    sha: str
    recognizer: Recognizer
    step: Step
    initial: ArrayState
    decoder: Decoder


def serving(bundle: Bundle, backend: str = "onnx") -> Serving:
    """A bundle ready to serve on a backend. Raises BundleError or ConfigError if it cannot be."""
    from streamrnn.bundle import open_step

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
        self._pools: dict[str, _Pool] = {}
        for each in servings:
            if each.name in self._pools:
                raise ConfigError(f"bundles: two are named {each.name!r}; give one another name")
            self._pools[each.name] = _Pool(each, rows_a_call, round_s)
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

    def _chosen(self, stream: str, bundles: Sequence[str] | None) -> list[_Pool]:
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


class _Pool:
    """One bundle with the memory of every stream attached to it, and those of them that wait, the longest first."""

    def __init__(self, serving: Serving, rows_a_call: int, round_s: float) -> None:
        self.serving = serving
        self.waiting: deque[Listener] = deque()
        self._ref = BundleRef(serving.name, serving.sha)
        self._states = Table(serving.initial, _ROWS_AT_FIRST)
        self._tracks = Table(serving.decoder.initial_track(1), _ROWS_AT_FIRST)
        self._free: list[int] = []
        self._rows = 0
        self._rows_a_call = rows_a_call
        recognizer = serving.recognizer
        self._hops_a_round = max(1, int(round_s * recognizer.frame_rate))
        # Frames of zeros that bring out what network and decoder hold back.
        self._ending = -(-recognizer.delay // recognizer.hop) + serving.decoder.delay

    def attach(self, session: Session, reader: Reader) -> Listener:
        """Give a stream a row of its own."""
        if self._free:
            row = self._free.pop()
        else:
            row, self._rows = self._rows, self._rows + 1
        self._fresh(row)
        return Listener(session, reader, self.serving.recognizer.hop, row)

    def notice(self, listener: Listener) -> None:
        """Put a listener that has something to do at the end of those that wait."""
        if not listener.queued and not listener.left and self._has_work(listener):
            listener.queued = True
            self.waiting.append(listener)

    def step(self) -> list[Event]:
        """One round: what there is to tell, and one call for each number of hops."""
        picked = [self.waiting.popleft() for _ in range(min(len(self.waiting), self._rows_a_call))]
        events: list[Event] = []
        groups: dict[int, list[tuple[Listener, Reading]]] = {}
        for listener in picked:
            listener.queued = False
            events += self._settle(listener)
            if listener.todo:
                reading = listener.todo[0]
                assert isinstance(reading, Reading)  # _settle has told what came before it
                hops = min(self._hops(listener, reading), self._hops_a_round)
                if hops:
                    groups.setdefault(hops, []).append((listener, reading))
        for hops, group in groups.items():
            events += self._call(hops, group)
        for listener in picked:
            self.notice(listener)
        return events

    def _call(self, hops: int, group: list[tuple[Listener, Reading]]) -> list[Event]:
        recognizer = self.serving.recognizer
        samples = np.zeros((len(group), hops * recognizer.hop, recognizer.channels), np.float32)
        for out, (listener, reading) in zip(samples, group, strict=True):
            reading.stretch.tape(listener.reader).read(listener.reader.bundle, out)
            reading.frames += hops
        rows = [listener.row for listener, _ in group]
        posteriors, state = self.serving.step(samples, self._states.gather(rows))
        self._states.scatter(rows, state)
        found, track = self.serving.decoder(posteriors, self._tracks.gather(rows))
        self._tracks.scatter(rows, track)
        events = [self._heard(*group[each.row], each) for each in found]
        for listener, reading in group:
            events += self._remarks(listener, reading)
        return events

    def _hops(self, listener: Listener, reading: Reading) -> int:
        """Whole hops that are there to be read; of a closed stretch, with the zeros behind it."""
        hop, samples = listener.hop, reading.stretch.tape(listener.reader).end
        whole = samples // hop
        if reading.stretch.closed and whole:
            # Less than one hop was never heard at all: zeros would only cost time.
            whole = -(-samples // hop) + self._ending
        return whole - reading.frames

    def _has_work(self, listener: Listener) -> bool:
        if not listener.todo:
            return listener.session.ended
        first = listener.todo[0]
        if isinstance(first, Told):
            return True
        return first.stretch.closed or bool(self._due(first)) or self._hops(listener, first) > 0

    def _settle(self, listener: Listener) -> list[Event]:
        """Say and do all that comes before the next samples; leave the stream if there is nothing more to come."""
        events: list[Event] = []
        while listener.todo:
            first = listener.todo[0]
            if isinstance(first, Told):
                events.append(self._lost(listener, first, 0))
                listener.todo.popleft()
                continue
            events += self._remarks(listener, first)
            if not first.stretch.closed or self._hops(listener, first):
                return events
            if first.frames:
                found = self.serving.decoder.finish(self._tracks.gather([listener.row]))
                events += [self._heard(listener, first, each) for each in found]
            listener.todo.popleft()
            self._fresh(listener.row)
        if listener.session.ended:
            self._free.append(listener.row)
            listener.session.listeners.remove(listener)
            listener.left = True
        return events

    @staticmethod
    def _due(reading: Reading) -> bool:
        return bool(reading.remarks) and reading.remarks[0][0] <= reading.frames

    def _remarks(self, listener: Listener, reading: Reading) -> list[Event]:
        """What is to be told of the frames that have been heard."""
        events: list[Event] = []
        while self._due(reading):
            frames, told = reading.remarks.popleft()
            events.append(self._lost(listener, told, frames))
        return events

    def _fresh(self, row: int) -> None:
        self._states.reset(row)
        self._tracks.reset(row)

    def _readiness(self, frames: int) -> str:
        if frames < self.serving.recognizer.warm_up:
            return "warming" if frames else "cold"
        return "warm"

    def _heard(self, listener: Listener, reading: Reading, found: Found) -> Event:
        session, stretch = listener.session, reading.stretch
        recognizer = self.serving.recognizer

        def source(frame: int) -> int:
            place = to_source(int(frame) * recognizer.hop, session.rate, recognizer.rate)
            return min(stretch.start + place, stretch.end)

        end = source(found.end)
        start = min(source(found.start), end - 1)
        label = recognizer.columns[found.column]
        return Event(
            kind=found.kind,
            stream=session.stream,
            bundle=self._ref,
            epoch=stretch.epoch,
            sample=source(found.frame + 1),
            rate=session.rate,
            readiness=self._readiness(int(found.frame) + 1),
            id=event_id(session.stream, self.serving.sha, stretch.epoch, label, start),
            body=Heard(label, start, end, session.rate, rounded(found.score)),
        )

    def _lost(self, listener: Listener, told: Told, frames: int) -> Event:
        session, lost = listener.session, told.lost
        return Event(
            kind="gap",
            stream=session.stream,
            bundle=self._ref,
            epoch=told.epoch,
            sample=told.sample,
            rate=session.rate,
            readiness=self._readiness(frames),
            id=event_id(session.stream, self.serving.sha, told.epoch, lost.reason, lost.start),
            body=lost,
        )
