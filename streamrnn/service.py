"""The daemon: wires sources, engine and sinks together, and ends in time whatever the others do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import zmq

from streamrnn import assembly, bundle, places, sinks, sources
from streamrnn.admission import Admission
from streamrnn.bundle import Bundle
from streamrnn.clips.keeping import Clips
from streamrnn.control import Control
from streamrnn.daemon_config import DaemonConfig
from streamrnn.engine import Serving
from streamrnn.errors import UserError
from streamrnn.events import Event
from streamrnn.handover import Handover
from streamrnn.history import History
from streamrnn.intake import Closed, Inlet, Intake
from streamrnn.overseeing import Overseer
from streamrnn.pacing import Pace, Tick
from streamrnn.publisher import Publisher, new_run
from streamrnn.reloading import Built, Reloader
from streamrnn.shadowing import Shadowing
from streamrnn.sinks import Sink
from streamrnn.sourcing import Sourcing
from streamrnn.statefile import StateFile
from streamrnn.streams import Streams
from streamrnn.summary import Summary, counted
from streamrnn.watch import Watch
from streamrnn.wire import NOBODY, Status

SUBSCRIBERS_S = 10.0  # how long the sources wait for subscribers that were announced
# Of the 2 s in which a daemon is gone after it was asked: by when what is on its way in, through, to the disk and out
# must be done. What is not is declared; stopping.GONE_S ends what hangs.
_IN_S, _THROUGH_S, _KEPT_S, _OUT_S = 0.3, 0.6, 0.8, 1.0


class Service:
    """One daemon: `startup`, `main_loop`, `shutdown`, all on the thread that is the engine's."""

    def __init__(
        self,
        config: DaemonConfig,
        more_sinks: Sequence[Sink] = (),
        reread: Callable[[], DaemonConfig] | None = None,
    ) -> None:
        """`reread` gives the config anew for a reload; without it a reload reads the bundles of this one."""
        self.config = config
        self.sinks: list[Sink] = list(more_sinks)
        self._added = len(self.sinks)  # those are not in the config, and nobody asks where they are
        self.summary = Summary()
        self._bundles: list[tuple[Bundle, str]] = []
        tick = Tick(config.engine.tick_ms / 1000.0)
        self._intake, self._pace = Intake(tick), Pace(tick)
        self._admission = Admission(config.engine, config.workers)
        self._watch = Watch(config.health)
        self.control = Control(self._intake.bell)
        self.history = History(config.history)
        self.history.answer_on(self.control)
        self._clips = Clips(config.clips, self._watch.meter, self.control)
        self._poller = zmq.Poller()
        self._running = 0  # sources that have not ended
        self._state = StateFile(config.state, self.history.flush)
        self._handover = Handover(self._intake.bell)
        self._reloader = Reloader(
            reread or (lambda: config),
            self._build,
            self._swap,
            tell=lambda status: self._tell(NOBODY, status),
            handover=self._handover,
        )
        self._sourcing = Sourcing(
            config,
            self._intake,
            self._handover,
            served=lambda: [each.name for each in self._engine.servings if not each.beside],
            tell=self._tell,
            entered=self._run,
        )
        self._sourcing.answer_on(self.control)
        self._shadowing = Shadowing(
            self._watch.meter,
            step=self._step,
            publish=self._publish,
            tell=lambda status: self._tell(NOBODY, status),
            changed=self._served,
        )
        self._shadowing.answer_on(self.control)
        self._overseer = Overseer(
            self._reloader, self._state, self._sourcing, self._shadowing, save=self._keep, stop=self.stop
        )
        self._overseer.answer_on(self.control)
        self._saved_at = 0.0
        self._told = ""  # what was wrong with the state file and has been published
        self._stopping = ""
        self._stopped_at = 0.0

    def startup(self) -> None:
        """Prove the bundles, bind, open the sources. Raises UserError, and leaves nothing open then."""
        try:
            self._watch.open()
            servings = self._open_all()
        except UserError:
            self._close_sources(self._intake.inlets)
            self.control.close()
            self._state.close()
            self._intake.bell.close()
            self._watch.close()
            for sink in (*self.sinks, self.history):
                sink.close(0.0)
            raise
        # The history first: what a subscriber hears of can be asked for, and its end waits for no other.
        heard, refs = (self.history, *self.sinks, self._watch.tally), [each.ref for each in servings]
        before = assembly.runs_before(self.history, self._state)
        self._publisher = Publisher(heard, refs, self.history.run, self.control.place, before=before)
        self._streams = Streams(
            self._engine, self._publisher, self._admission, self._kept, self._clips, grace_s=self.config.state.grace_s
        )
        self._served()
        self._overseer.oversee(self._engine, self._streams, self._publisher.run)
        self._sourcing.oversee(self._streams)
        self._shadowing.oversee(self._engine)
        self.control.start()
        self._poller.register(self._intake.bell.socket, zmq.POLLIN)
        for sink in self.sinks:
            for each_socket in sink.sockets:
                self._poller.register(each_socket, zmq.POLLIN)

    def describe(self) -> Iterator[str]:
        """What runs where, line by line, for people."""
        for each, (there, backend) in zip((*self.config.bundles, *self.config.shadows), self._bundles, strict=True):
            yield f"bundle {each.path}: golden answer proved on {backend}"
            promise = bundle.promise(there)
            if promise:
                yield f"bundle {each.path}: {promise}"
        yield self._admission.describe(self._engine.servings)
        for inlet in self._intake.inlets:
            yield f"samples from {inlet.source.place}"
        for sink in self.sinks[self._added :]:
            yield f"results to {sink.place}"
        if self._watch.place:
            yield f"health at {self._watch.place}"
        if self.history.place:
            yield self.history.describe()
        if self._state.place:
            yield self._state.trouble or f"state in {self._state.place}, {counted(len(self._kept.streams), 'stream')}"
        yield f"calls to {self.control.place}" if self.control.place else "no control"

    def stop(self, reason: str) -> None:
        """Let the main loop come to its end; from any thread or signal handler."""
        if not self._stopping:
            self._stopped_at = time.monotonic()  # before the other thread may look at it
            self._stopping = reason
        self._intake.bell.ring()

    def reload(self) -> None:
        """Read config and bundles anew and serve them if they are proved; from a signal handler."""
        self._reloader.ask()

    def main_loop(self) -> None:
        """Take samples, step, publish; until it is stopped, or until all sources have finished if that is asked for."""
        self._watch.serve(self._intake.inlets, (self.history, *self.sinks), journal=self.history, state=self._state)
        self._await_subscribers()
        self._running = len(self._intake.inlets)
        self._intake.start()
        while not self._stopping:
            self._poller.poll(_milliseconds(min(self._publisher.attend(), self._watch.vitals.due_s)))
            self._pace.wait()
            self._watch.woke()
            self._turn()
            self._save()
            for trouble in self._watch.turned(self._engine, self._streams):
                self._tell(NOBODY, Status("failed", trouble))
            self._pace.done()
            if self.config.until == "finished" and not self._running:
                self.stop("all sources have finished")

    def shutdown(self) -> Summary:
        """Drain what is on its way, say goodbye and close everything, all of it within 1.2 s of the stop.

        What there was no time for is declared: samples as gaps, messages and state among the troubles.
        """
        self._watch.stop(self._stopping)
        self._intake.stop()
        self._engine.drain()
        while self._running and self._left(_IN_S):
            self._poller.poll(min(100, _milliseconds(self._left(_IN_S))))
            self._publisher.attend()
            self._turn()
        while self._left(_THROUGH_S) and (late := self._intake.take()):
            for inlet, entry in late:
                if isinstance(entry, Closed):
                    self._close(inlet, entry.error)
                else:
                    self._streams.leave(inlet, entry)
        for inlet in self._intake.inlets:
            for stream in list(inlet.streams):
                self._streams.stop(inlet, stream)
        self._step()
        if self._engine.pending:
            self.summary.troubles.append("stopped before all samples were heard: the others lie in gaps")
            self._tell_all(self._streams.abandon())
            self._streams.settle()
        kept, fresh = self._streams.snapshots()
        self.summary.troubles += self._state.finish(kept, fresh, self._left(_KEPT_S))
        self.summary.streams = self._streams.opened
        self.summary.kinds, self.summary.reason = self._publisher.kinds, self._stopping
        # A source that is stuck goes with us.
        sources = [(each.source.place, each.source.close) for each in self._intake.inlets if each.closed]
        parts = [("control", self.control.close), ("health", self._watch.close), ("workers", self._engine.close)]
        self.summary.troubles += self._publisher.close(self._stopping, lambda: self._left(_OUT_S), [*sources, *parts])
        self._intake.bell.close()
        return self.summary

    def _open_all(self) -> list[Serving]:
        places.check_there(self.config)
        self._bundles, servings = self._build(self.config)
        configs = assembly.source_configs(self.config, [each.name for each in servings])
        for sink in self.config.sinks:
            # One by one: those before one that cannot be opened are closed again.
            self.sinks.append(sinks.build(sink))
        self.sinks += self._clips.open()
        self.history.open(new_run())
        self._kept = self._state.open(self.history.run)
        self.control.bind(self.config.control)
        for each in configs:
            self._intake.add(sources.build(each), each)
        # The last to be opened: workers have to be ended.
        self._engine = assembly.engine(self.config, servings, self._watch, self._tell, self._intake.bell.ring)
        return servings

    def _build(self, config: DaemonConfig) -> Built:
        """The bundles of a config, proved and ready to serve. Raises BundleError or ConfigError."""
        bundles = assembly.bundles(config)
        self._clips.know(there for there, _ in bundles)
        proved = [self._admission.measured(each) for each in assembly.serve(config, bundles)]
        return bundles, assembly.placed(self.config, bundles, proved, self._watch)

    def _await_subscribers(self) -> None:
        until = time.monotonic() + SUBSCRIBERS_S
        while not self._stopping and any(sink.awaited for sink in self.sinks):
            if time.monotonic() > until:
                self.summary.troubles.append(f"started without all subscribers, after {SUBSCRIBERS_S:g} s")
                return
            self._poller.poll(min(100, _milliseconds(self._publisher.attend())))
            for trouble in self._watch.turned(self._engine, self._streams):
                self._tell(NOBODY, Status("failed", trouble))
            self._intake.bell.silence()
            self.control.work()

    def _turn(self) -> None:
        """What the sources have brought goes in, and everything that follows from it comes out."""
        for inlet, entry in self._intake.take():
            if isinstance(entry, Closed):
                self._close(inlet, entry.error)
            elif not inlet.leaving:
                if self._streams.waits(entry):
                    self._step()
                late = self._stopping and not self._left(_IN_S)
                (self._streams.leave if late else self._streams.hear)(inlet, entry)
        self.control.work()
        self._handover.work()
        self._step()

    def _step(self) -> None:
        while self._engine.pending and (not self._stopping or self._left(_THROUGH_S)):
            self._tell_all(self._engine.step())
            self._publisher.attend()
        if self._engine.pending:
            return
        self._streams.settle()
        self._shadowing.settle()

    def _tell_all(self, events: Iterable[Event]) -> None:
        for heard in events:
            for event in self._shadowing.hear(heard):
                self._publisher.event(event)

    def _save(self) -> None:
        """Once in a while: what is remembered of the streams goes to the disk, written by another thread."""
        if time.monotonic() < self._saved_at + self._state.every_s or not self._state.idle:
            return
        self._saved_at = time.monotonic()
        if self._state.trouble != self._told:
            self._told = self._state.trouble
            self._publisher.status(NOBODY, Status("failed", self._told) if self._told else Status("mended", "state"))
        self._keep()

    def _keep(self) -> int:
        """Write what is remembered of the streams; of how many."""
        kept, fresh = self._streams.snapshots()
        self._state.save(kept, fresh)
        return len(kept.streams) + len(fresh)

    def _swap(self, built: Built) -> None:
        """Raises ConfigError, and changes nothing, if a source names a bundle that is gone."""
        bundles, servings = built
        self._sourcing.check([each.name for each in servings if not each.beside])
        self._engine.swap(servings)
        self._bundles = bundles
        self._shadowing.pair(servings)
        self._served()
        self._watch.reloaded(self._reloader.generation)

    def _served(self) -> None:
        """Other bundles are served from now on: who asks is told so."""
        self._publisher.serve(self._engine.servings)

    def _tell(self, stream: str, status: Status) -> None:
        self._publisher.status(stream, status)

    def _publish(self, event: Event) -> None:
        self._publisher.event(event)

    def _run(self, inlet: Inlet) -> None:
        self._running += 1
        inlet.start()

    def _close(self, inlet: Inlet, error: str) -> None:
        self._running -= 1
        inlet.closed = True
        if error:
            self.summary.troubles.append(error)
            if not inlet.streams:
                self._publisher.status(NOBODY, Status("failed", error))
        for stream in list(inlet.streams):
            self._streams.end(inlet, stream, Status("failed" if error else "ended", error))
        if inlet.leaving:
            self._intake.inlets.remove(inlet)
            inlet.source.close()

    def _left(self, seconds: float) -> float:
        return max(0.0, self._stopped_at + seconds - time.monotonic())

    @staticmethod
    def _close_sources(inlets: Sequence[Inlet]) -> None:
        for inlet in inlets:
            inlet.source.close()


def _milliseconds(seconds: float) -> int:
    # Rounded up: a poll that returns too early would only be repeated.
    return int(seconds * 1000) + 1
