"""A pool: one bundle with the memory of all streams attached to it, served in bounded rounds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from streamrnn.backends import ArrayState, Step
from streamrnn.decoders import Decoder, Found
from streamrnn.events import BundleRef, Event, Heard, event_id, rounded
from streamrnn.recognizer import Recognizer
from streamrnn.resampling import to_source
from streamrnn.sessions import Listener, Reader, Reading, Session, Told
from streamrnn.table import Table

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


def ending(serving: Serving) -> int:
    """Frames of zeros, after a last hop that is filled up, that bring out what network and decoder hold back."""
    recognizer = serving.recognizer
    return -(-recognizer.delay // recognizer.hop) + serving.decoder.delay


def is_real(found: Found, hop: int, samples: int) -> bool:
    """A segment that begins in the zeros behind the last sample is made of them; a detection there is a late word."""
    return found.kind != "segment" or found.start * hop < samples


def told(found: Found, recognizer: Recognizer, rate: int, stretch: tuple[int, int]) -> tuple[int, Heard]:
    """What was found in the samples of a stretch `(start, end)` of `rate` Hz: at which it was decided, and what."""
    first, last = stretch

    def source(frame: int) -> int:
        return min(first + to_source(int(frame) * recognizer.hop, rate, recognizer.rate), last)

    end = source(found.end)
    start = min(source(found.start), end - 1)
    label = recognizer.columns[found.column]
    return source(found.frame + 1), Heard(label, start, end, rate, rounded(found.score))


class Pool:
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
        self._ending = ending(serving)

    def attach(self, session: Session, reader: Reader) -> Listener:
        """Give a stream a row of its own."""
        if self._free:
            row = self._free.pop()
        else:
            row, self._rows = self._rows, self._rows + 1
        self._fresh(row)
        return Listener(session, reader, self.serving.recognizer.hop, row)

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
        events = [self._heard(*group[each.row], each) for each in found if self._real(*group[each.row], each)]
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
                events += [self._heard(listener, first, each) for each in found if self._real(listener, first, each)]
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

    def _real(self, listener: Listener, reading: Reading, found: Found) -> bool:
        return is_real(found, listener.hop, reading.stretch.tape(listener.reader).end)

    def _heard(self, listener: Listener, reading: Reading, found: Found) -> Event:
        session, stretch = listener.session, reading.stretch
        sample, body = told(found, self.serving.recognizer, session.rate, (stretch.start, stretch.end))
        return Event(
            kind=found.kind,
            stream=session.stream,
            bundle=self._ref,
            epoch=stretch.epoch,
            sample=sample,
            rate=session.rate,
            readiness=self._readiness(int(found.frame) + 1),
            id=event_id(session.stream, self.serving.sha, stretch.epoch, body.label, body.start),
            body=body,
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
