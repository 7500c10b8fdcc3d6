"""Bounded queues from the threads of the sources to the engine's: one a source, taken from in turn."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

from streamrnn.chunk import MUTED, Chunk, Ended, Gap, Item, Opened
from streamrnn.errors import UserError
from streamrnn.pacing import Tick
from streamrnn.sources import Source, SourceConfig, room
from streamrnn.sources.bell import Bell

TOO_SLOW = "the engine was too slow"
_ITEMS = 16_384  # of one source that may wait, whatever they hold
_TURN = 1 << 18  # values (samples times channels) that a source brings in its turn


@dataclass(frozen=True, slots=True)
class Closed:
    """A source that has ended: by itself, or because of `error`, which is "" if there was none."""

    error: str


Entry = Item | Closed


class Inlet:
    """The queue of one source. What finds no room waits outside, or is dropped and declared, as the source says."""

    def __init__(self, intake: Intake, source: Source, config: SourceConfig) -> None:
        self.source = source
        self.config = config
        # For the engine's thread alone: streams that are open in the engine, and whether the source has ended.
        self.streams: set[str] = set()
        self.closed = False
        self.leaving = False  # taken away: what it still brings is not heard
        # Under the lock: whether what comes is not heard, and how many samples found no room.
        self.paused = False
        self.dropped = 0
        self._intake = intake
        self._room = threading.Condition(intake.lock)
        self._entries: deque[Entry] = deque()
        self._waiting: Counter[str] = Counter()  # samples of each stream in the queue
        self._limits: dict[str, int] = {}
        self._dropped: dict[str, Gap] = {}

    @property
    def name(self) -> str:
        """What it is called: its stream if its config names one, else where its samples come from."""
        return getattr(self.config, "stream", "") or self.source.place

    @property
    def filled(self) -> bool:
        """Whether anything waits to be taken."""
        return bool(self._entries)

    @property
    def fill(self) -> float:
        """How full it is, 0 to 1: by its items, or by the samples of the stream of which most wait."""
        with self._intake.lock:
            shares = [n / self._limits[stream] for stream, n in self._waiting.items() if stream in self._limits]
            return min(1.0, max([len(self._entries) / _ITEMS, *shares]))

    def mute(self) -> None:
        """What comes from now on is not heard, and lies in gaps; what waits already is."""
        with self._intake.lock:
            self.paused = True

    def unmute(self) -> None:
        """What comes from now on is heard."""
        with self._intake.lock:
            self.paused = False

    def start(self) -> None:
        """Run the source in a thread of its own; one that is stuck does not hold up the exit."""
        threading.Thread(target=self.run, name=type(self.source).__name__, daemon=True).start()

    def run(self) -> None:
        """What the source's thread does: all items into the queue, and then how it ended."""
        error = ""
        try:
            for burst in self.source.bursts():
                self.put(burst)
            error = self.source.refusal
        except UserError as reason:
            error = " ".join(str(reason).split())
        except Exception as reason:  # a fault of ours in one source must not end the others
            error = f"{type(self.source).__name__} broke, {type(reason).__name__}: {' '.join(str(reason).split())}"
        with self._intake.lock:
            self._entries.extend(self._dropped.values())
            self._entries.append(Closed(error))
            self._intake.ring()

    def put(self, burst: list[Item]) -> None:
        """From the source's thread: what it brings goes into the queue, and the engine's thread is woken."""
        with self._intake.lock:
            for item in burst:
                self._put(item)
            if self._entries:
                self._intake.ring()

    def take(self) -> list[Entry]:
        """A bounded turn of what comes next; with the lock held."""
        taken: list[Entry] = []
        values = 0
        while self._entries and values < _TURN:
            entry = self._entries.popleft()
            taken.append(entry)
            if isinstance(entry, Chunk):
                values += entry.samples.size
                self._gone(entry)
        if taken:
            self._room.notify()
        return taken

    def stop(self) -> None:
        """Let the source come to an end, also when it waits for room."""
        self.source.stop()
        with self._intake.lock:
            self._room.notify()

    def _put(self, item: Item) -> None:
        """With the lock held."""
        if isinstance(item, Chunk) and self.paused:
            item = Gap(item.stream, item.start, item.end, MUTED)
        if isinstance(item, Opened):
            self._limits[item.stream] = room(self.config.queue_ms, item.rate)
        if isinstance(item, Chunk):
            if self.config.when_full == "drop_oldest":
                while not self._fits(item) and self._evict(item.stream):
                    pass
            if self.config.when_full != "block" and not self._fits(item):
                self._dropped[item.stream] = _joined(self._dropped.get(item.stream), item)
                self.dropped += len(item.samples)
                return
            if not self._fits(item):
                self._intake.ring()  # what makes room is what waits already
                self._room.wait_for(lambda: self._fits(item) or self.source.stopped.is_set())
            self._waiting[item.stream] += len(item.samples)
        elif isinstance(item, Ended):
            del self._limits[item.stream]
        if item.stream in self._dropped:
            self._entries.append(self._dropped.pop(item.stream))
        last = self._entries[-1] if self._entries else None
        if isinstance(item, Gap) and isinstance(last, Gap) and _goes_on(last, item):
            self._entries[-1] = Gap(item.stream, last.start, item.end, item.reason)
            return
        self._entries.append(item)

    def _evict(self, stream: str) -> bool:
        """The oldest chunk of a stream becomes a gap, one with the gap before it; whether there was one."""
        before = -1
        # The oldest is near the front: of the entries before it only other streams' have to be passed.
        for i, entry in enumerate(self._entries):
            if isinstance(entry, Closed) or entry.stream != stream:
                continue
            if not isinstance(entry, Chunk):
                before = i
                continue
            gap = self._entries[before] if before >= 0 else None
            if isinstance(gap, Gap) and gap.reason == TOO_SLOW:
                self._entries[before] = _joined(gap, entry)
                del self._entries[i]
            else:
                self._entries[i] = _joined(None, entry)
            self._gone(entry)
            self.dropped += len(entry.samples)
            return True
        return False

    def _gone(self, chunk: Chunk) -> None:
        self._waiting[chunk.stream] -= len(chunk.samples)
        if not self._waiting[chunk.stream]:
            del self._waiting[chunk.stream]

    def _fits(self, chunk: Chunk) -> bool:
        waiting = self._waiting[chunk.stream]
        # A chunk that is larger than the whole queue fits into an empty one.
        fits = not waiting or waiting + len(chunk.samples) <= self._limits[chunk.stream]
        return fits and len(self._entries) < _ITEMS


def _goes_on(gap: Gap, other: Gap) -> bool:
    return gap.reason == other.reason == MUTED and (gap.stream, gap.end) == (other.stream, other.start)


def _joined(gap: Gap | None, chunk: Chunk) -> Gap:
    """A dropped chunk as a gap, together with that of those dropped just before it."""
    # A chunk may lie before what was dropped last: one that came twice makes no gap smaller.
    start, end = (min(gap.start, chunk.start), max(gap.end, chunk.end)) if gap else (chunk.start, chunk.end)
    return Gap(chunk.stream, start, end, TOO_SLOW)


class Intake:
    """All inlets: their threads, and the bell that wakes the engine's thread when something was put."""

    def __init__(self, tick: Tick | None = None) -> None:
        """Sources may gather what comes within a tick."""
        self._tick = tick or Tick(0.0)
        self.lock = threading.Lock()
        self.bell = Bell()
        self.inlets: list[Inlet] = []
        self._rung = False

    def add(self, source: Source, config: SourceConfig) -> Inlet:
        """A source that will run."""
        source.tick = self._tick
        inlet = Inlet(self, source, config)
        self.inlets.append(inlet)
        return inlet

    def start(self) -> None:
        """Run each source."""
        for inlet in self.inlets:
            inlet.start()

    def take(self) -> list[tuple[Inlet, Entry]]:
        """A turn of every source; empty if nothing waits."""
        self.bell.silence()
        with self.lock:
            self._rung = False
            taken = [(inlet, entry) for inlet in self.inlets for entry in inlet.take()]
            if any(inlet.filled for inlet in self.inlets):
                self.ring()
        return taken

    def ring(self) -> None:
        """Wake the engine's thread once for all that was put since it last looked; with the lock held."""
        if not self._rung:
            self._rung = True
            self.bell.ring()

    def stop(self) -> None:
        """Let all sources come to an end soon."""
        for inlet in self.inlets:
            inlet.stop()
