"""From events to numbered messages for every sink, with the signs of life that let a subscriber know what it missed."""

from __future__ import annotations

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence

from msgspec import UNSET, UnsetType

from streamrnn import closing, wire
from streamrnn.closing import Part
from streamrnn.events import SCHEMA, BundleRef, Channel, Event, Lost
from streamrnn.pool import Serving
from streamrnn.release import VERSION
from streamrnn.sinks import Sink
from streamrnn.wire import NOBODY, Beat, Body, Bye, Hello, Message, Moment, Status

BEAT_S = 1.0
_HELLO_S = 0.1  # apart: subscriptions in a burst are greeted together
_TOPICS = 4096  # whose count is kept; one that is silent for longest begins anew
_BEFORE = 64  # runs before this one that are told of
_NOBODY = BundleRef(NOBODY, "")
_OVERLAP = "overlap"  # samples that came twice are told as a gap, and nothing is lost


def new_run() -> str:
    """A name that no run before has."""
    return secrets.token_hex(4)


class Publisher:
    """The one place that knows clocks and counts of messages; used by the engine's thread."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        bundles: Sequence[BundleRef],
        run: str = "",
        control: str = "",
        *,
        before: Sequence[str] | UnsetType = UNSET,
    ) -> None:
        """`run` is what `new_run` made, and `control` where calls are taken, "" if nowhere.

        `before` are the runs before this one, the oldest first, UNSET if nothing was kept by which they are known.
        """
        self.run = run or new_run()
        self.streams: dict[str, int] = {}  # those open, with their rate in Hz
        self.kinds: Counter[str] = Counter()  # messages by kind, for the summary
        self._countings: dict[str, str] = {}  # of those streams, within which their samples are counted
        self._counted = 0
        self._sinks = sinks
        self.bundles = tuple(bundles)  # that are served now
        self.inputs: dict[str, tuple[Channel, ...]] = {}  # of those that know them, the channels that they take
        self._control = control
        self._before = UNSET if before is UNSET else tuple(before)[-_BEFORE:]
        self._topics: OrderedDict[str, int] = OrderedDict()
        self._changed: dict[str, int] = {}
        self._lost: Counter[tuple[str, str]] = Counter()
        self._beat_at = time.monotonic() + BEAT_S
        self._hello_at = 0.0
        self._asked = False

    def serve(self, servings: Sequence[Serving]) -> None:
        """These bundles are served from now on: who asks is told so."""
        self.bundles = tuple(each.ref for each in servings)
        takes = {each.name: each.recognizer.config.inputs for each in servings}
        self.inputs = {name: channels for name, channels in takes.items() if channels}

    def opened(self, stream: str, rate: int, channels: int, run: str = "") -> None:
        """A stream begins, or goes on in the `run` of who brings it; without one its samples are counted anew.

        One of its name before it is closed first.
        """
        self.known(stream, rate, run)
        self.status(stream, Status("opened", f"{rate} Hz, {channels} channels" if channels > 1 else f"{rate} Hz"))

    def known(self, stream: str, rate: int, run: str = "") -> None:
        """What is told of a stream from now on is of this rate, and its samples are counted in this run."""
        self.streams[stream] = rate
        self._counted += 1
        self._countings[stream] = run or f"{self.run}.{self._counted}"

    def resumed(self, stream: str, bundles: Iterable[str], lost: int) -> None:
        """A stream goes on of which the daemon before has told so many lost samples, by each of these bundles."""
        self._lost.update({(stream, bundle): lost for bundle in bundles})

    def closed(self, stream: str, sample: int, status: Status) -> None:
        """A stream is over after `sample` samples, and all its events are out."""
        self.status(stream, status, sample)
        self.streams.pop(stream, None)
        self._countings.pop(stream, None)
        for key in [key for key in self._lost if key[0] == stream]:
            del self._lost[key]

    def status(self, stream: str, status: Status, sample: int = 0) -> None:
        """What became of a stream, or of the daemon if `stream` is NOBODY."""
        self._send("status", status, stream=stream, sample=sample, rate=self.streams.get(stream, 0))

    def event(self, event: Event) -> None:
        """What the engine says."""
        key = (event.stream, event.bundle.name)
        if isinstance(event.body, Lost) and event.body.reason != _OVERLAP:
            self._lost[key] += event.body.end - event.body.start
        self._send(
            event.kind,
            event.body,
            stream=event.stream,
            bundle=event.bundle,
            epoch=event.epoch,
            sample=event.sample,
            rate=event.rate,
            readiness=event.readiness,
            gap=self._lost[key],
            name=event.id,
        )

    def attend(self) -> float:
        """Greet who has subscribed, give a sign of life if it is time, and say in how many seconds it will be."""
        for sink in self._sinks:
            self._asked |= sink.attend()
        now = time.monotonic()
        if self._asked and now >= self._hello_at:
            self._asked, self._hello_at = False, now + _HELLO_S
            self._send(
                "hello",
                Hello(
                    VERSION,
                    self.bundles,
                    tuple(self.streams),
                    dict(self._topics),
                    self._control,
                    self.inputs,
                    before=self._before,
                ),
            )
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            changed, self._changed = self._changed, {}
            self._send("heartbeat", Beat(changed))
        due = min(self._beat_at, self._hello_at) if self._asked else self._beat_at
        return max(0.0, due - now)

    def close(self, reason: str, seconds: Callable[[], float], others: Sequence[Part] = ()) -> list[str]:
        """Say goodbye and close every sink, each for as long as there are `seconds` left, and the other parts.

        All at once; what was lost, for people.
        """
        self._send("bye", Bye(reason, dict(self._topics)))
        sinks = [(sink.place, lambda sink=sink: sink.close(seconds())) for sink in self._sinks]
        return closing.close([*sinks, *others], seconds())

    def _send(
        self,
        kind: str,
        body: Body,
        *,
        stream: str = NOBODY,
        bundle: BundleRef = _NOBODY,
        epoch: int = 0,
        sample: int = 0,
        rate: int = 0,
        readiness: str = "",
        gap: int = 0,
        name: str = "",
    ) -> None:
        topic = wire.topic_of(kind, stream, bundle.name)
        message = Message(
            v=SCHEMA,
            kind=kind,
            stream=stream,
            bundle=bundle,
            run=self.run,
            epoch=epoch,
            seq=self._count(topic),
            t=Moment(sample, rate, time.monotonic_ns(), time.time_ns()),
            readiness=readiness,
            gap=gap,
            id=name,
            counting=self._countings.get(stream, ""),
            body=body,
        )
        self.kinds[kind] += 1
        parts = wire.encode(message)
        for sink in self._sinks:
            sink.publish(message, parts)

    def _count(self, topic: str) -> int:
        seq = self._topics.pop(topic, 0) + 1
        self._topics[topic] = self._changed[topic] = seq
        if len(self._topics) > _TOPICS:
            oldest, _ = self._topics.popitem(last=False)
            self._changed.pop(oldest, None)
        return seq
