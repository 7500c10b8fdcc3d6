"""Shadows: bundles that run beside those that serve, compared with them event by event, then promoted or dropped.

Two events agree if both sides tell the same label of the same stream within a second of its time. One that has found no
other by then is that side's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamrnn.calls import CallError
from streamrnn.control import Control
from streamrnn.engine import Serving
from streamrnn.events import BundleRef, Event, Heard, event_id, identity
from streamrnn.hearing import Hearing
from streamrnn.metrics import Meter
from streamrnn.wire import Status

WINDOW_S = 1.0
_SAME_WORD_S = 0.25  # between the ends of what two decoders take for one word; said again at once it is another
AGREED, ONLY_SERVING, ONLY_SHADOW = "agreed", "only_serving", "only_shadow"


class OfShadow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The params of a method about one shadow: its name."""

    bundle: str


@dataclass(slots=True)
class _Pair:
    """A shadow and the bundle beside which it runs, what came of their events, and those that wait for another."""

    shadow: BundleRef
    serving: BundleRef
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((AGREED, ONLY_SERVING, ONLY_SHADOW), 0))
    waiting: list[Event] = field(default_factory=list)

    @property
    def makes(self) -> tuple[BundleRef, BundleRef]:
        """Which two it compares."""
        return self.shadow, self.serving


class Shadowing:
    """Sees every event before it is published; used by the engine's thread."""

    def __init__(
        self,
        meter: Meter,
        *,
        step: Callable[[], None],
        publish: Callable[[Event], None],
        tell: Callable[[Status], None],
        changed: Callable[[], None],
    ) -> None:
        """`step` lets the engine hear all that waits, `publish` and `tell` put out an event or a status of the daemon,
        and `changed` is called when other bundles are served."""
        self._meter = meter
        self._step, self._publish, self._tell, self._changed = step, publish, tell, changed
        self._engines: tuple[Hearing, ...] = ()
        self._pairs: list[_Pair] = []
        # What a bundle that a shadow has relieved told last: its follower does not tell the same word again.
        self._relieved: list[Event] = []

    def answer_on(self, control: Control) -> None:
        """Let `control` call it."""
        control.add("promote", OfShadow, lambda params: self._promote(params.bundle), where="engine")
        control.add("drop", OfShadow, lambda params: self._drop(params.bundle), where="engine")

    def oversee(self, engine: Hearing) -> None:
        """What runs, once it does."""
        self._engines = (engine,)
        self.pair(engine.servings)

    def pair(self, servings: Sequence[Serving]) -> None:
        """These are served now: pairs of which both sides are the same as before go on counting."""
        refs = {each.name: each.ref for each in servings}
        pairs = [_Pair(each.ref, refs[each.beside]) for each in servings if each.beside]
        before = {(each.shadow, each.serving): each for each in self._pairs}
        self._pairs = [before.get(each.makes, each) for each in pairs]

    def listed(self) -> list[dict[str, Any]]:
        """Every shadow and what came of the comparison, as JSON."""
        return [
            {"name": each.shadow.name, "sha": each.shadow.sha, "beside": each.serving.name, **each.counts}
            for each in self._pairs
        ]

    def hear(self, event: Event) -> list[Event]:
        """An event of the engine is compared: it, or nothing if a bundle that was relieved has told the same word."""
        if not isinstance(event.body, Heard):
            return [event]
        told = [each for each in self._relieved if each.bundle.name == event.bundle.name and _one_word(each, event)]
        twin = _nearest(event, told)
        if twin:
            self._relieved = [each for each in self._relieved if each is not twin[0]]
            return []
        for pair in self._pairs:
            if event.bundle in pair.makes:
                self._compare(pair, event)
        return [event]

    def settle(self) -> None:
        """All that came has been heard: events that can find no other any more are told by one side alone."""
        for pair in self._pairs:
            for event in [each for each in pair.waiting if self._past(each, 2 * WINDOW_S)]:
                pair.waiting.remove(event)
                self._count(pair, ONLY_SHADOW if event.bundle == pair.shadow else ONLY_SERVING)
        self._relieved = [each for each in self._relieved if not self._past(each, 2 * WINDOW_S)]

    def _compare(self, pair: _Pair, event: Event) -> None:
        twin = _nearest(event, [each for each in pair.waiting if each.bundle != event.bundle])
        if twin:
            pair.waiting = [each for each in pair.waiting if each is not twin[0]]
            self._count(pair, AGREED)
        else:
            pair.waiting.append(event)

    def _count(self, pair: _Pair, outcome: str) -> None:
        pair.counts[outcome] += 1
        self._meter.add("shadow_events_total", 1, pair.shadow.name, outcome)

    def _past(self, event: Event, seconds: float) -> bool:
        """Whether its stream is over, has forgotten, or is so many seconds further."""
        for engine in self._engines:
            if event.stream in engine.streams:
                counts = engine.counts(event.stream)
                return counts.epoch != event.epoch or counts.expected > event.sample + seconds * event.rate
        return True

    def _promote(self, name: str) -> dict[str, Any]:
        """What only the shadow has told of late is told again under the name that it takes, for nobody else will."""
        pair = self._pair(name)
        self._step()
        taken: frozenset[str] = frozenset()
        for engine in self._engines:
            if engine.pending:
                raise CallError("busy", "samples wait to be heard; ask again")
            taken = engine.promote(name)
        now = BundleRef(pair.serving.name, pair.shadow.sha)
        late = [each for each in pair.waiting if each.stream in taken and not self._past(each, WINDOW_S)]
        self._relieved += [each for each in late if each.bundle == pair.serving]
        self._renew()
        for event in late:
            if event.bundle == pair.shadow and isinstance(event.body, Heard):
                name = identity(event.kind, event.body)
                known = event_id(event.stream, now.sha, event.epoch, name, event.body.start)
                self._publish(msgspec.structs.replace(event, bundle=now, id=known))
        self._tell(Status("promoted", f"{name} serves as {now.name}"))
        return {"bundle": now.name, "sha": now.sha}

    def _drop(self, name: str) -> dict[str, Any]:
        self._pair(name)
        for engine in self._engines:
            engine.swap([each for each in engine.servings if each.name != name])
        self._renew()
        self._tell(Status("dropped", f"{name} runs no more"))
        return {"bundle": name}

    def _renew(self) -> None:
        for engine in self._engines:
            self.pair(engine.servings)
        self._changed()

    def _pair(self, name: str) -> _Pair:
        for pair in self._pairs:
            if pair.shadow.name == name:
                return pair
        there = ", ".join(pair.shadow.name for pair in self._pairs) or "none"
        raise CallError("refused", f"{name!r} is no shadow; there are: {there}")


def _one_word(left: Event, right: Event) -> bool:
    a, b = left.body, right.body
    if not isinstance(a, Heard) or not isinstance(b, Heard):
        return False
    apart = max(a.start, b.start) - min(a.end, b.end)
    return apart <= _SAME_WORD_S * left.rate


def _nearest(event: Event, others: Sequence[Event]) -> list[Event]:
    """The one of these that tells the same label of the same stream nearest in time, if any does within the window."""
    near = [
        (abs(each.sample - event.sample), i)
        for i, each in enumerate(others)
        if (each.kind, each.stream, each.epoch) == (event.kind, event.stream, event.epoch)
        and isinstance(each.body, Heard)
        and isinstance(event.body, Heard)
        and each.body.label == event.body.label
        and abs(each.sample - event.sample) <= WINDOW_S * event.rate
    ]
    return [others[min(near)[1]]] if near else []
