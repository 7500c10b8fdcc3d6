"""The streams of a daemon: opened or taken up again where they were, heard, ended or suspended, and told of."""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

from streamrnn.admission import Admission
from streamrnn.chunk import STOPPED, Chunk, Ended, Gap, Item, Note, Opened
from streamrnn.clips.keeping import Clips
from streamrnn.errors import StreamError
from streamrnn.events import Event
from streamrnn.hearing import Hearing
from streamrnn.intake import Inlet
from streamrnn.placing import Placing, place
from streamrnn.publisher import Publisher
from streamrnn.snapshot import Snapshot
from streamrnn.statefile import Fresh, Kept
from streamrnn.unclaimed import OTHER_MEMORY, Unclaimed
from streamrnn.wire import Status

_NAMES = 4096  # streams whose last epoch, or state, is remembered after their end
_EPOCHS_A_RUN = 1 << 20


@dataclass(slots=True)
class _Open:
    """An open stream: who brings it, the run in which its samples are counted ("": it cannot be resumed), what was
    last kept of it, and how many samples were lost that the engine does not count."""

    inlet: Inlet
    run: str
    placing: Placing
    last: tuple[Snapshot, ...] = ()
    lost_before: int = 0


class Streams:
    """What the daemon knows of its streams beside the engine; used by the engine's thread."""

    def __init__(
        self,
        engine: Hearing,
        publisher: Publisher,
        admission: Admission,
        kept: Kept,
        clips: Clips,
        *,
        grace_s: float = 30.0,
    ) -> None:
        """`kept` is what the daemon before has left, for whoever goes on with it within `grace_s`.

        `clips` hear all that the engine is given, if any are kept.
        """
        self.opened = 0  # since the start
        self.heard, self.duplicates = 0, 0  # samples of streams that are over
        self._tallies: dict[str, Counter[str]] = {}  # of those, by where they came from: what became of rows with times
        self._engine, self._publisher, self._admission = engine, publisher, admission
        self._taps = clips.taps
        self._open: dict[str, _Open] = {}
        self._runs = kept.runs
        self._unclaimed = Unclaimed(kept.streams, admission.max_streams, grace_s)
        self._epochs: OrderedDict[str, int] = OrderedDict()
        self._ending: list[tuple[Inlet, str, int, Status]] = []
        self._suspended: list[str] = []
        self._unheard: set[str] = set()  # streams that may go on, with samples that came too late for a stop

    def hear(self, inlet: Inlet, item: Item) -> None:
        """What a source has brought goes into the engine; a stream that is not taken is told of, and its source."""
        if item.stream not in inlet.streams and not isinstance(item, Opened):
            if isinstance(item, Ended):  # of a stream that was refused
                inlet.source.taken(item)
            return
        try:
            self._hear(inlet, item)
        except StreamError as error:
            if item.stream in inlet.streams:
                self.end(inlet, item.stream, Status("failed", str(error)))
            else:
                self._publisher.status(item.stream, Status("refused", str(error)))
            inlet.source.refused(item.stream, error)

    def waits(self, item: Item) -> bool:
        """Whether an item opens a stream of whose name another is not over yet: what is told of that one goes first."""
        return isinstance(item, Opened) and any(stream == item.stream for _, stream, _, _ in self._ending)

    def end(self, inlet: Inlet, stream: str, status: Status) -> None:
        """A stream is over, as the status says; that is told when its last events are out."""
        for each in self._open[stream].placing.finish():
            self._take(each)
        counts = self._engine.counts(stream)
        self._engine.finish(stream)
        for tap in self._taps:
            tap.ended(stream)
        inlet.streams.discard(stream)
        over = self._open.pop(stream).placing
        if over.timed:
            self._tallies.setdefault(inlet.source.place, Counter()).update(dataclasses.asdict(over.tally))
        self.heard += counts.heard
        self.duplicates += counts.duplicates
        self._ending.append((inlet, stream, counts.expected, status))
        _remember(self._epochs, stream, counts.epoch)

    def stop(self, inlet: Inlet, stream: str) -> None:
        """The daemon stops: a stream that may be taken up again is left as it is, another is over."""
        if self._runs and self._open[stream].run:
            inlet.streams.discard(stream)
            self._suspended.append(stream)
            for tap in self._taps:
                tap.ended(stream)
        else:
            self.end(inlet, stream, Status("ended", ""))

    def leave(self, inlet: Inlet, item: Item) -> None:
        """What comes too late for a stop: samples lie in a gap, but those that a client can bring again."""
        stream = item.stream
        if stream in self._unheard:
            return
        if not isinstance(item, Chunk):
            self.hear(inlet, item)
        elif stream in inlet.streams and self._runs and self._open[stream].run:
            self._unheard.add(stream)
        elif stream in inlet.streams:
            for gap in self._open[stream].placing.unheard(item, STOPPED):
                self._take(gap)

    def abandon(self) -> list[Event]:
        """Time is up before all was heard: what there is to tell now, gaps where samples wait; then `settle`.

        A stream that may go on does so where it was kept last, and its client brings again what came after that.
        """
        _, fresh = self.snapshots()
        for stream in [stream for stream in self._suspended if stream not in fresh]:
            self._suspended.remove(stream)
            self.end(self._open[stream].inlet, stream, Status("ended", STOPPED))
        return self._engine.abandon(STOPPED)

    def settle(self) -> None:
        """Tell of the streams that are over; all their events are out."""
        # Elsewhere a stream may take longer than what came with its end.
        ending, self._ending = self._ending, []
        for inlet, stream, sample, status in ending:
            if not self._engine.over(stream):
                self._ending.append((inlet, stream, sample, status))
                continue
            self._publisher.closed(stream, sample, status)
            inlet.source.taken(Ended(stream))
        suspended, self._suspended = self._suspended, []
        fresh = self.snapshots()[1] if suspended else {}
        for stream in suspended:
            sample = fresh[stream][1].expected if stream in fresh else self._engine.counts(stream).expected
            self._publisher.closed(stream, sample, Status("suspended", f"may go on with sample {sample}"))
        self._unclaimed.settle(self._publisher)
        for tap in self._taps:
            tap.settle(self._engine.snapshots)

    def reset(self, stream: str) -> None:
        """Forget what was heard of an open stream: a gap of no samples and a new epoch. Raises StreamError."""
        self._engine.forget(stream, "reset")
        sample = self._engine.counts(stream).expected
        self._tap(Gap(stream, sample, sample, "reset"))

    def told(self, stream: str) -> dict[str, Any]:
        """What there is to say of an open stream's rows and channels, as JSON."""
        placing = self._open[stream].placing
        grid = {"grid": dataclasses.asdict(placing.tally)} if placing.timed else {}
        return {**grid, "channels": placing.conditions}

    @property
    def channels_away(self) -> int:
        """Channels of open streams that are frozen, saturated or have vanished."""
        return sum(len(each.placing.conditions) for each in self._open.values())

    def tallies(self) -> dict[str, Counter[str]]:
        """By where streams come from, what became of rows that carry times, since the start."""
        now = {place: Counter(tally) for place, tally in self._tallies.items()}
        for each in self._open.values():
            if each.placing.timed:
                now.setdefault(each.inlet.source.place, Counter()).update(dataclasses.asdict(each.placing.tally))
        return now

    def snapshots(self) -> tuple[Kept, Fresh]:
        """What was kept before, and of every stream that may be taken up again a snapshot of now, if it is settled."""
        fresh: Fresh = {}
        may_go_on = {stream: each for stream, each in self._open.items() if each.run}
        settled = self._engine.snapshots(may_go_on)
        for stream, each in may_go_on.items():
            # In the midst of something what was kept of it before still holds.
            if stream in settled:
                taken = settled[stream]
                each.last = (msgspec.structs.replace(taken, lost=taken.lost + each.lost_before),)
            for taken in each.last:
                fresh[stream] = (each.run, taken)
        return Kept(self._runs, dict(self._unclaimed.streams)), fresh

    def _hear(self, inlet: Inlet, item: Item) -> None:
        """Raises StreamError if the engine does not take it."""
        stream = item.stream
        if isinstance(item, Opened):
            self._begin(inlet, item)
        elif not isinstance(item, Ended):
            for each in self._open[stream].placing.placed(item):
                self._take(each)
        elif item.reason == STOPPED:
            self.stop(inlet, stream)
            return
        else:
            self.end(inlet, stream, Status("ended", item.reason))
            return
        inlet.source.taken(item)

    def _take(self, item: Chunk | Gap | Note) -> None:
        stream = item.stream
        if isinstance(item, Chunk):
            self._engine.push(stream, item.start, item.samples)
            self._tap(item)
        elif isinstance(item, Gap):
            self._engine.lose(stream, item.end, item.reason)
            self._tap(item)
        else:
            self._publisher.status(stream, Status(item.state, item.text), self._engine.counts(stream).expected)

    def _tap(self, item: Chunk | Gap) -> None:
        for tap in self._taps:
            tap.heard(item, self._engine.counts(item.stream))

    def _begin(self, inlet: Inlet, item: Opened) -> None:
        stream = item.stream
        bundles = inlet.config.bundles
        self._admission.check(self._engine, stream, bundles)
        # A shadow hears what the bundle does beside which it runs.
        serving = [each for each in self._engine.servings if not each.beside]
        heard_by = [each for each in serving if not bundles or each.named(bundles)]
        placing = place(item, inlet.config, [(each.name, each.recognizer.config.inputs) for each in heard_by])
        if placing.timed:
            # Where on its grid it was is not kept: what comes after a restart is counted anew.
            item = dataclasses.replace(item, run="", first=0)
        how, taken = self._resume(inlet, item)
        if not taken:
            # A name that comes again goes on counting epochs, so that no two events of it share an id; so does each
            # run of the daemon, for it may have ended before it could say how far it was.
            first = max(0, self._runs - 1) * _EPOCHS_A_RUN
            epoch = max(self._epochs.get(stream, -1) + 1, first)
            self._engine.open(stream, item.rate, item.channels, inlet.config.bundles or None, epoch=epoch)
        before = sum(each.lost for each in taken) - self._engine.counts(stream).lost
        self._open[stream] = _Open(inlet, item.run, placing, taken, before if taken else 0)
        inlet.streams.add(stream)
        self.opened += 1
        for tap in self._taps:
            tap.opened(item, self._engine.counts(stream), self._engine.snapshots)
        self._publisher.opened(stream, item.rate, item.channels, item.run)
        for each in taken:
            told = each.lost - sum(lost.end - lost.start for lost in each.untold)
            self._publisher.resumed(stream, [heard.bundle for heard in each.listeners], told)
            self._publisher.status(stream, Status("restored", how), each.expected)
            if each.expected:
                inlet.source.resumed(stream, each.expected)

    def _resume(self, inlet: Inlet, item: Opened) -> tuple[str, tuple[Snapshot, ...]]:
        """Take up a stream where it was: how, for people, and the snapshot; none if it is new."""
        taken = self._unclaimed.take(self._publisher, item)
        if not taken:
            return "", ()
        (there,), bundles = taken, inlet.config.bundles or None
        if item.first <= there.expected:
            try:
                self._engine.restore(there, bundles)
            except StreamError as error:
                refusal = str(error)
            else:
                return f"goes on with sample {there.expected}", (there,)
        else:
            refusal = f"its samples up to {item.first} cannot be had any more"
        # A gap that it was in the midst of has not been told.
        start = there.untold[0].start if there.untold else there.expected
        self._engine.open(item.stream, item.rate, item.channels, bundles, epoch=there.epoch, start=start)
        for each in there.untold:
            self._engine.lose(item.stream, each.end, each.reason)
        self._engine.forget(item.stream, OTHER_MEMORY)
        return f"goes on with sample {there.expected}, without its memory: {refusal}", (there,)


def _remember(epochs: OrderedDict[str, int], stream: str, epoch: int) -> None:
    epochs[stream] = epoch
    epochs.move_to_end(stream)
    if len(epochs) > _NAMES:
        epochs.popitem(last=False)
