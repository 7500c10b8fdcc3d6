"""A pool: one bundle with the memory of all streams attached to it, served in bounded rounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from streamrnn.backends import ArrayState, Step
from streamrnn.decoders import Decoder, Found
from streamrnn.events import BundleRef, Event, Forecast, Heard, Lost, Scored, event_id, gap_event, identity
from streamrnn.recognizer import Recognizer
from streamrnn.resampling import to_source
from streamrnn.sessions import FOREVER, Listener, Session
from streamrnn.snapshot import ListenerMemory, Remark, same_make
from streamrnn.stretch import Reader, Reading, Stretch, Told
from streamrnn.table import Place, Table

_ROWS_AT_FIRST = 4
COLD = "cold"
_Body = Heard | Forecast | Scored


@dataclass(frozen=True, slots=True)
class Serving:
    """One bundle as the engine sees it; `initial` holds `(1, ...)` arrays, the state of a stream that heard nothing."""

    name: str
    sha: str
    recognizer: Recognizer
    step: Step
    initial: ArrayState
    decoder: Decoder
    beside: str = ""  # of a shadow: the bundle whose streams it hears as well
    cost: float = 0.0  # the share of one core that a stream takes; 0.0 if that was not measured

    @property
    def ref(self) -> BundleRef:
        """How it is named in what it tells."""
        return BundleRef(self.name, self.sha, bool(self.beside))

    def named(self, names: Sequence[str]) -> bool:
        """Whether these name it, or the one beside which it runs."""
        return self.name in names or self.beside in names

    @property
    def made(self) -> bytes:
        """The settings of its decoder: of two that differ, one cannot go on where the other was."""
        return msgspec.json.encode(self.recognizer.config.decoder)


def ending(serving: Serving) -> int:
    """Frames of zeros, after a last hop that is filled up, that bring out what network and decoder hold back."""
    recognizer = serving.recognizer
    return -(-recognizer.delay // recognizer.hop) + serving.decoder.delay


def is_real(found: Found, hop: int, samples: int) -> bool:
    """What begins in the zeros behind the last sample is made of them; only a detection there is a late word."""
    return found.kind == "detection" or found.start * hop < samples


def told(found: Found, recognizer: Recognizer, rate: int, stretch: tuple[int, int]) -> tuple[int, _Body]:
    """What was found in the samples of a stretch `(start, end)` of `rate` Hz: at which it was decided, and what."""
    first, last = stretch
    return placed(
        found,
        recognizer,
        rate,
        lambda frame: min(first + to_source(frame * recognizer.hop, rate, recognizer.rate), last),
    )


def placed(found: Found, recognizer: Recognizer, rate: int, source: Callable[[int], int]) -> tuple[int, _Body]:
    """The same where `source` tells at which source sample a frame begins."""
    end = source(int(found.end))
    start = min(source(int(found.start)), end - 1)
    label = recognizer.columns[found.column]
    return source(int(found.frame) + 1), found.body(label, start, end, rate)


class Pool:
    """One bundle with the memory of every stream attached to it, and those of them that wait, the longest first."""

    def __init__(self, serving: Serving, key: str, rows_a_call: int, round_s: float) -> None:
        self.become(serving)
        self.key = key  # what its readers are called
        self.waiting: deque[Listener] = deque()
        self._states = Table(serving.initial, _ROWS_AT_FIRST)
        self._tracks = Table(serving.decoder.initial_track(1), _ROWS_AT_FIRST)
        self._place = Place()
        self._free: list[int] = []
        self._rows = 0
        self._rows_a_call = rows_a_call
        recognizer = serving.recognizer
        self._hops_a_round = max(1, int(round_s * max(recognizer.frame_rate, 16.0)))  # a slow stream's would be single
        self._ending = ending(serving)

    def become(self, serving: Serving) -> None:
        """Go on as this one, which is the same by what it computes."""
        self.serving = serving
        self._ref = serving.ref
        # What a shadow has told is told again by the bundle that it may become, as another event.
        self._identity = f"{serving.sha}/shadow" if serving.beside else serving.sha

    def attach(self, session: Session, reader: Reader) -> Listener:
        """Give a stream a row of its own."""
        if self._free:
            row = self._free.pop()
        else:
            row, self._rows = self._rows, self._rows + 1
        self._fresh(row)
        return Listener(session, reader, self.serving.recognizer.hop, row)

    def remembered(self, listener: Listener) -> ListenerMemory:
        """All that is remembered of a stream that is settled."""
        reading = listener.todo[0] if listener.todo else Reading(Stretch(0, 1, 1, ()))
        assert isinstance(reading, Reading)  # a settled stream has told all gaps
        begun = bool(listener.todo)
        return ListenerMemory(
            bundle=self.serving.name,
            sha=self.serving.sha,
            decoder=self.serving.made,
            origin=reading.origin,
            place=reading.stretch.tape(listener.reader).place(listener.reader.bundle) if begun else 0,
            frames=reading.frames,
            restored=reading.restored,
            remarks=tuple(Remark(frames, told.epoch, told.sample, told.lost) for frames, told in reading.remarks),
            state=self._states.gather([listener.row]),
            track=self._tracks.gather([listener.row]),
        )

    def refusal(self, memory: ListenerMemory) -> str:
        """Why a memory is not one of this bundle; "" if it is."""
        if (memory.sha, memory.decoder) != (self.serving.sha, self.serving.made):
            return f"bundle {memory.bundle} is another, or its decoder has other settings"
        track = self.serving.decoder.initial_track(1)
        if not same_make(memory.state, self.serving.initial) or not same_make(memory.track, track):
            return f"the state of bundle {memory.bundle} has other shapes"
        return ""

    def resume(self, listener: Listener, memory: ListenerMemory) -> ListenerMemory:
        """Give a listener that has heard nothing the memory of another; it, with the frames that are `restored`."""
        self._states.scatter([listener.row], memory.state)
        self._tracks.scatter([listener.row], memory.track)
        warm_up = self.serving.recognizer.warm_up
        restored = memory.frames + warm_up if memory.frames >= warm_up else 0
        return msgspec.structs.replace(memory, restored=restored)

    @property
    def rows(self) -> int:
        """How many streams have one."""
        return self._rows - len(self._free)

    def let_go(self, listener: Listener) -> None:
        """Take a listener from its stream, and its row."""
        if not listener.left:
            self._free.append(listener.row)
            listener.session.leave(listener)
            listener.left = True

    def state(self, listener: Listener) -> ArrayState:
        """A copy of what a stream's row remembers, `(1, ...)`."""
        return self._states.gather([listener.row])

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
            if self._relieved(listener):
                self.let_go(listener)
            else:
                self.notice(listener)
        return events

    def abandon(self, reason: str) -> list[Event]:
        """Finished streams are heard no further: what there is to tell of each, and of what it has not heard a gap."""
        events: list[Event] = []
        for listener in [each for each in self.waiting if each.session.ended]:
            for each in listener.todo:
                if isinstance(each, Told):
                    events += self._lost(listener, each, COLD)
                    continue
                readiness, stretch = self._readiness(each, each.frames), each.stretch
                told = [remark for _, remark in each.remarks]
                heard = stretch.source(listener.reader, each.origin + each.frames * listener.hop)
                if heard < stretch.end:
                    lost = Lost(heard, stretch.end, listener.session.rate, reason)
                    told.append(Told(stretch.epoch + 1, stretch.end, lost))
                events += [event for one in told for event in self._lost(listener, one, readiness)]
            self.waiting.remove(listener)
            self.let_go(listener)
        return events

    def _call(self, hops: int, group: list[tuple[Listener, Reading]]) -> list[Event]:
        recognizer = self.serving.recognizer
        samples = self._place.batch(len(group), hops * recognizer.hop, recognizer.channels)
        for out, (listener, reading) in zip(samples, group, strict=True):
            reading.stretch.tape(listener.reader).read(listener.reader.bundle, out)
            reading.frames += hops
        rows = [listener.row for listener, _ in group]
        posteriors, state = self.serving.step(samples, self._states.lend(rows))
        self._states.scatter(rows, state)
        found, track = self.serving.decoder(posteriors, self._tracks.lend(rows))
        self._tracks.scatter(rows, track)
        events = [event for each in found for event in self._heard(*group[each.row], each)]
        for listener, reading in group:
            events += self._remarks(listener, reading)
        return events

    def _hops(self, listener: Listener, reading: Reading) -> int:
        """Whole hops that are there to be read; of a closed stretch, with the zeros behind it."""
        hop, samples = listener.hop, self._samples(listener, reading)
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
                events += self._lost(listener, first, COLD)
                del listener.todo[0]
                continue
            events += self._remarks(listener, first)
            if not first.stretch.closed or self._hops(listener, first):
                return events
            if first.frames:
                found = self.serving.decoder.finish(self._tracks.gather([listener.row]))
                events += [event for each in found for event in self._heard(listener, first, each)]
            del listener.todo[0]
            self._fresh(listener.row)
        if listener.session.ended:
            self.let_go(listener)
        return events

    @staticmethod
    def _relieved(listener: Listener) -> bool:
        """Whether all that it is to tell has been told."""
        if listener.until == FOREVER or not listener.todo:
            return False
        reading = listener.todo[0]
        if isinstance(reading, Told):
            return False
        heard = reading.origin + reading.frames * listener.hop
        return reading.stretch.source(listener.reader, heard) >= listener.until

    @staticmethod
    def _due(reading: Reading) -> bool:
        return bool(reading.remarks) and reading.remarks[0][0] <= reading.frames

    def _remarks(self, listener: Listener, reading: Reading) -> list[Event]:
        """What is to be told of the frames that have been heard."""
        events: list[Event] = []
        while self._due(reading):
            frames, told = reading.remarks.pop(0)
            events += self._lost(listener, told, self._readiness(reading, frames))
        return events

    def _fresh(self, row: int) -> None:
        self._states.reset(row)
        self._tracks.reset(row)

    def _readiness(self, reading: Reading, frames: int) -> str:
        if frames < self.serving.recognizer.warm_up:
            return "warming" if frames else COLD
        return "restored" if frames <= reading.restored else "warm"

    @staticmethod
    def _samples(listener: Listener, reading: Reading) -> int:
        return reading.stretch.tape(listener.reader).end - reading.origin

    def _heard(self, listener: Listener, reading: Reading, found: Found) -> list[Event]:
        """What is to be told of it: the event, or nothing."""
        session, stretch = listener.session, reading.stretch
        if not is_real(found, listener.hop, self._samples(listener, reading)):
            return []
        sample, body = placed(
            found,
            self.serving.recognizer,
            session.rate,
            lambda frame: stretch.source(listener.reader, reading.origin + frame * listener.hop),
        )
        if not listener.since < sample <= listener.until:
            return []
        event = Event(
            kind=found.kind,
            stream=session.stream,
            bundle=self._ref,
            epoch=stretch.epoch,
            sample=sample,
            rate=session.rate,
            readiness=self._readiness(reading, int(found.frame) + 1),
            id=event_id(session.stream, self._identity, stretch.epoch, identity(found.kind, body), body.start),
            body=body,
        )
        return [event]

    def _lost(self, listener: Listener, told: Told, readiness: str) -> list[Event]:
        session, lost = listener.session, told.lost
        if not listener.since < told.sample <= listener.until:
            return []
        epoch, sample = told.epoch, told.sample
        return [gap_event(session.stream, self._ref, lost, epoch=epoch, sample=sample, readiness=readiness)]
