"""What a daemon reports of itself: the meter is fed, the vitals are told, and the probes answer."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from streamrnn import allocator
from streamrnn.daemon_config import HealthConfig
from streamrnn.engine import Serving
from streamrnn.events import Heard, Lost
from streamrnn.hearing import Hearing
from streamrnn.intake import Inlet
from streamrnn.metrics import Meter
from streamrnn.notify import take_from_environment
from streamrnn.release import VERSION
from streamrnn.sessions import OVERLAP
from streamrnn.sinks import PULSE, Sink
from streamrnn.streams import Streams
from streamrnn.vitals import Vitals
from streamrnn.wire import NOBODY, Message, Status

if TYPE_CHECKING:
    from streamrnn.health import Health

SURVEY_S = 1.0
_GIVE_BACK_S = 60.0
_AGAIN_S, _AT_MOST_EVERY_S = 10.0, 600.0  # a sink that goes on losing is announced ever more rarely
_OVER = ("ended", "failed", "refused", "suspended")


class Store(Protocol):
    """What keeps something on disk: where, "" if nowhere, and why it cannot now, "" if it can.

    How much of what it kept is damaged, and what to tell of that, "" if nothing.
    """

    place: str

    @property
    def trouble(self) -> str:
        """For people."""

    @property
    def unreadable(self) -> int:
        """Stretches or files."""

    @property
    def damage(self) -> str:
        """For people."""


class Tally(Sink):
    """Counts what is published; a result that is out is progress."""

    place = "metrics"

    def __init__(self, meter: Meter, vitals: Vitals) -> None:
        self._meter = meter
        self._vitals = vitals
        self._told: dict[str, tuple[int, int]] = {}  # of a stream: up to which sample losses are counted, and its epoch

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """Count it; a gap that several bundles tell is counted a bundle, its samples once."""
        meter, body, stream = self._meter, message.body, message.stream
        meter.add("events_total", 1, message.kind)
        if message.kind not in PULSE:
            self._vitals.moved()
        if isinstance(body, Heard):
            meter.add("detections_total", 1, message.bundle.name, body.label)
        elif isinstance(body, Lost):
            meter.add("gaps_total", 1, body.reason)
            if body.reason != OVERLAP:
                self._lose(stream, body, message.epoch)
        elif isinstance(body, Status) and stream != NOBODY:
            if body.state == "opened":
                meter.add("streams_opened_total", 1)
            elif body.state in _OVER:
                meter.add("streams_closed_total", 1, body.state)
                self._told.pop(stream, None)

    def close(self, seconds: float) -> str:
        """Nothing waits here."""
        return ""

    def _lose(self, stream: str, lost: Lost, epoch: int) -> None:
        end, before = self._told.get(stream, (0, -1))
        new = lost.end - max(lost.start, end)
        if new > 0:
            self._meter.add("samples_lost_total", new, lost.reason)
        if epoch > before:
            self._meter.add("epochs_total", 1)
        self._told[stream] = (max(end, lost.end), max(before, epoch))


class Watch:
    """Used by the engine's thread; the probes read what it leaves."""

    def __init__(self, config: HealthConfig) -> None:
        self.meter = Meter()
        self.vitals = Vitals(take_from_environment(), config.stall_s)
        self.tally = Tally(self.meter, self.vitals)
        self.place = ""  # where the probes are, "" if nowhere
        self._config = config
        self._health: list[Health] = []
        self._inlets: Sequence[Inlet] = ()
        self._sinks: Sequence[Sink] = ()
        self._stores: Mapping[str, Store] = {}
        self._woken = self._survey_at = self._give_back_at = time.monotonic()
        self._damaged: Counter[str] = Counter()  # by store: how much of it was told of
        self._announced: dict[Sink, tuple[int, float, float]] = {}
        self.meter.set("build_info", 1.0, VERSION, platform.python_version())

    def open(self) -> None:
        """Answer probes, as one that is starting. Raises ConfigError or DeviceError."""
        if self._config.endpoint:
            from streamrnn.health import Health  # a server of HTTP, which most daemons have not

            self._health.append(Health(self._config.endpoint, self.vitals, self.meter))
            self.place = self._health[0].place

    def measured(self, serving: Serving) -> Serving:
        """The bundle, with its steps counted and timed; each is progress."""
        return self.meter.measured(serving, self.vitals.moved)

    def serve(self, inlets: Sequence[Inlet], sinks: Sequence[Sink], **stores: Store) -> None:
        """All is proved, bound and open: say that we are ready."""
        self._inlets, self._sinks = inlets, [each for each in sinks if each.place]
        self._stores = {name: each for name, each in stores.items() if each.place}
        self._woken = time.monotonic()
        self.vitals.serve()

    def reloaded(self, generation: int) -> None:
        """Other bundles have taken over."""
        self.vitals.reload()
        self.meter.set("reload_generation", float(generation))
        self.vitals.serve()

    def woke(self) -> None:
        """The loop has something to do, or is to look whether it has."""
        self._woken = time.monotonic()

    def turned(self, engine: Hearing, streams: Streams) -> list[str]:
        """The loop has gone round once; which sinks have lost something of late, and what is damaged, for people."""
        now = time.monotonic()
        self.meter.add("busy_seconds_total", now - self._woken)
        self._woken = now
        # With work left, only work that got on is progress: a loop that spins is dead.
        if not engine.pending:
            self.vitals.moved()
        if now < self._survey_at:
            return []
        self._survey_at = now + SURVEY_S
        if now >= self._give_back_at and not engine.pending:
            self._give_back_at = now + _GIVE_BACK_S
            allocator.give_back()
        self._survey(engine, streams, now)
        return self._losses(now)

    def stop(self, reason: str) -> None:
        """No more is to come."""
        self.vitals.stop(reason)

    def close(self) -> None:
        """Answer no more."""
        for health in self._health:
            health.close()
        self.vitals.notifier.close()

    def _survey(self, engine: Hearing, streams: Streams, now: float) -> None:
        meter, open_now = self.meter, [engine.counts(stream) for stream in engine.streams]
        meter.set("streams_open", len(open_now))
        meter.set("samples_heard_total", streams.heard + sum(each.heard for each in open_now))
        meter.set("samples_duplicate_total", streams.duplicates + sum(each.duplicates for each in open_now))
        running = [inlet for inlet in self._inlets if not inlet.closed]
        meter.set("sources_running", len(running))
        for inlet in self._inlets:
            meter.set("queue_fill_ratio", inlet.fill, inlet.source.place)
            meter.set("source_away", float(inlet.source.condition == "offline"), inlet.source.place)
            meter.set("source_drift_ppm", inlet.source.drift_ppm, inlet.source.place)
        meter.set("channels_away", streams.channels_away)
        for place, tally in streams.tallies().items():
            for outcome, n in tally.items():
                meter.set("grid_rows_total", n, place, outcome)
        for sink in self._sinks:
            meter.set("sink_lost_total", sink.lost, sink.place)
            if sink.subscribers >= 0:
                meter.set("subscribers", sink.subscribers, sink.place)
        for name, store in self._stores.items():
            meter.set("store_trouble", float(bool(store.trouble)), name)
            meter.set("store_unreadable", store.unreadable, name)
        meter.survey(now)
        vitals, found = self.vitals, sum(meter.values["detections_total"].values())
        vitals.lacking = engine.lacking if running else "no source is left"
        vitals.status = f"{len(open_now)} streams open, {found:.0f} detections and segments"

    def _losses(self, now: float) -> list[str]:
        told = []
        for sink in self._sinks:
            before, due, pause = self._announced.get(sink, (0, 0.0, _AGAIN_S))
            if now < due:
                continue
            if sink.lost > before:
                told.append(f"{sink.place}: {sink.lost - before} {sink.lost_are} lost: {sink.loss}")
                self._announced[sink] = (sink.lost, now + pause, min(2 * pause, _AT_MOST_EVERY_S))
            else:
                self._announced[sink] = (before, 0.0, _AGAIN_S)
        for name, store in self._stores.items():
            if store.unreadable > self._damaged[name]:
                self._damaged[name] = store.unreadable
                told += [f"{store.place}: {store.damage}"] if store.damage else []
        return told
