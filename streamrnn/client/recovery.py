"""Asks a daemon again for messages that never came, and says which of them are gone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from streamrnn import mistakes, wire
from streamrnn.calls import CallError
from streamrnn.client.control import Control
from streamrnn.client.ledger import Begin, Hole, Missing, Past, Turn, Unread
from streamrnn.client.runs import Runs
from streamrnn.errors import UserError
from streamrnn.wire import Message

AUTO = "auto"
OFF = "off"
_ANSWER_S = 2.0
_BUSY_S = 3.0
_REST_S = 3.0  # without a question after one that nobody answered
_TOPICS = 100  # of one question, which must not be too long
_LOOPBACK = ("127.", "localhost", "[::1]")
_EVERYWHERE = ("0.0.0.0", "*", "[::]")


@dataclass(frozen=True, slots=True)
class Loss:
    """The messages `first` to `last` of a topic in a run, which cannot be had any more, and why.

    Of a run that ended without a goodbye, or that we never heard, it may be unknown how many there were: then the topic
    is "".
    """

    run: str
    topic: str
    first: int
    last: int
    reason: str

    @property
    def count(self) -> int:
        """How many messages; 0 if that is unknown."""
        return self.last - self.first + 1 if self.topic else 0

    def __str__(self) -> str:
        """One line for people."""
        if not self.topic:
            return f"what else the run {self.run} said, if anything, cannot be had: {self.reason}"
        which = f"message {self.first}" if self.count == 1 else f"messages {self.first} to {self.last}"
        return f"{self.topic}: {which} of the run {self.run} cannot be had: {self.reason}"


class Recovery:
    """Fills what is missing by the methods `replay` and `snapshot` of the daemon that publishes on `results`."""

    def __init__(self, results: str, control: str, topics: Sequence[str], keys: str) -> None:
        """`control` is where it takes calls, "auto" what its hello says, "off" nowhere. Raises DeviceError."""
        self._results, self._topics = results, tuple(topics)
        self._fixed = control != AUTO
        self._place = "" if control in (AUTO, OFF) else control
        self._keys = keys
        self._control = Control(self._place, keys=keys) if self._place else None
        self._rest_until = 0.0
        self._runs = Runs()

    def hear(self, place: str) -> None:
        """What a hello says of where calls are taken."""
        place = reachable(place, self._results)
        if not self._fixed and place != self._place:
            self.close()
            self._place = place
            self._control = Control(place, keys=self._keys) if place else None
            self._rest_until = 0.0

    def fill(self, missing: Sequence[Missing]) -> Iterator[Message | Loss]:
        """What can be had of it, topic by topic in its order, and what cannot."""
        for each in missing:
            if isinstance(each, Begin):
                self._runs.hear(each.run)
            elif isinstance(each, Turn):
                yield from self._turn(each)
            elif isinstance(each, Past):
                yield from self._unheard(each.runs, each.now)
            elif isinstance(each, Unread):
                why = f"nobody read for {each.seconds:.0f} s, and the daemon keeps nothing of the runs before it"
                yield Loss(each.run, "", 0, 0, f"{why}, nor whether one came and went")
        holes = [each for each in missing if isinstance(each, Hole)]
        for i in range(0, len(holes), _TOPICS):
            yield from self._holes(holes[i : i + _TOPICS])

    def begin(self, begun: Begin, method: str) -> Iterator[Message]:
        """What was said before we came, by "replay" or as a "snapshot" of the last; nothing if that cannot be had."""
        try:
            for page in self._pages(method, {"topics": self._topics}):
                for message in page.messages:
                    told, had = begun.told.get(message.topic, 0), begun.had.get(message.topic)
                    if message.run == begun.run and message.seq <= told and had is None:
                        yield message
        except UserError:
            return

    def close(self) -> None:
        """Let the connection go."""
        if self._control:
            self._control.close()
            self._control = None

    def _holes(self, holes: Sequence[Hole]) -> Iterator[Message | Loss]:
        run = holes[0].run
        left = {hole.topic: hole for hole in holes}
        asked = {
            "run": run,
            "topics": list(left),
            "after": {hole.topic: hole.first - 1 for hole in holes},
            "to": {hole.topic: hole.last for hole in holes},
        }
        reason = "the daemon does not keep them any more"
        try:
            for page in self._pages("replay", asked):
                for message in page.messages:
                    hole = left.get(message.topic)
                    if hole is None or message.run != run or not hole.first <= message.seq <= hole.last:
                        continue
                    if message.seq > hole.first:
                        yield Loss(run, hole.topic, hole.first, message.seq - 1, reason)
                    yield message
                    left[message.topic] = Hole(run, hole.topic, message.seq + 1, hole.last)
        except UserError as error:
            reason = " ".join(str(error).split())
        for hole in left.values():
            if hole.last >= hole.first:
                yield Loss(run, hole.topic, hole.first, hole.last, reason)

    def _turn(self, turn: Turn) -> Iterator[Message | Loss]:
        """What a run said last, and what was said by those that came and went before the one that speaks now."""
        if not turn.parted:
            yield from self._rest_of(turn.run, turn.had)
        # At once, and not only with the hello of the run: before the first message of it all is in its order.
        try:
            kept = msgspec.convert(self._ask("history", {}), _Kept)
        except (UserError, msgspec.ValidationError):
            return
        if kept.journal and turn.parted and turn.run not in kept.runs:
            yield Loss(turn.run, "", 0, 0, "it is not kept any more, nor any run that may have come right after it")
        if kept.journal:
            yield from self._unheard(tuple(kept.runs), turn.now)

    def _unheard(self, listed: tuple[str, ...], now: str) -> Iterator[Message | Loss]:
        """What was said by those of the runs before the present one that we never heard."""
        for run in self._runs.unheard(listed, now):
            yield from self._rest_of(run, {})

    def _rest_of(self, run: str, had: dict[str, int]) -> Iterator[Message | Loss]:
        """What a run that is over said after what we had of it, by topic."""
        asked: dict[str, Any] = {"run": run, "topics": self._topics}
        if len(had) <= _TOPICS:
            asked["after"] = had
        try:
            for page in self._pages("replay", asked):
                for topic, stretches in page.gone.items():
                    for first, last in stretches:
                        ours = max(first, had.get(topic, 0) + 1)
                        if ours <= last:
                            yield Loss(run, topic, ours, last, "the daemon does not keep them any more")
                for message in page.messages:
                    if message.run == run and message.seq > had.get(message.topic, 0):
                        yield message
        except UserError as error:
            yield Loss(run, "", 0, 0, " ".join(str(error).split()))

    def _pages(self, method: str, asked: dict[str, Any]) -> Iterator[_Page]:
        """Raises UserError."""
        start: int | None = 0
        while start is not None:
            answer = self._ask(method, {**asked, "from": start})
            try:
                page = msgspec.convert(answer, _Answer)
            except msgspec.ValidationError as error:
                raise CallError("malformed", f"{method}: {mistakes.told(error, answer)}") from None
            yield _Page([wire.read(msgspec.json.encode(each)) for each in page.messages], page.gone)
            if page.next is not None and page.next <= start:
                raise CallError("malformed", f"{method}: goes on at {page.next} after {start}")
            start = page.next

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        if self._control is None:
            raise CallError("no_control", "the daemon takes no calls that we could make")
        if time.monotonic() < self._rest_until:
            raise CallError("no_control", f"{self._place} did not answer")
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                return self._control.call(method, timeout=_ANSWER_S, **params)
            except CallError as error:
                if error.code != "busy" or time.monotonic() > until:
                    raise
                time.sleep(0.02)
            except UserError:
                self._rest_until = time.monotonic() + _REST_S
                raise


class _Answer(msgspec.Struct):
    messages: list[dict[str, Any]]
    next: int | None = None
    gone: dict[str, list[tuple[int, int]]] = {}


class _Kept(msgspec.Struct):
    runs: list[str]
    journal: str = ""


@dataclass(frozen=True, slots=True)
class _Page:
    messages: list[Message]
    gone: dict[str, list[tuple[int, int]]]


def reachable(control: str, results: str) -> str:
    """Where we reach the control endpoint of a daemon whose results we hear at `results`; "" if nowhere.

    One that listens everywhere is on the host that we know; one on the loopback of another machine is not for us.
    """
    if not control.startswith("tcp://") or not results.startswith("tcp://"):
        return control
    host = results.removeprefix("tcp://").rpartition(":")[0]
    there, _, port = control.removeprefix("tcp://").rpartition(":")
    if there in _EVERYWHERE:
        return f"tcp://{host}:{port}"
    if there.startswith(_LOOPBACK) and not host.startswith(_LOOPBACK):
        return ""
    return control
