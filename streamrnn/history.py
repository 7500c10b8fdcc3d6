"""What was published lately, in memory and if asked for on disk: sent again to those who missed it."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from streamrnn import wire
from streamrnn.calls import CallError
from streamrnn.control import Control, NoParams
from streamrnn.events import BundleRef
from streamrnn.journal import Journal
from streamrnn.journaling import Sync, Writer
from streamrnn.sinks import PULSE, Sink
from streamrnn.wire import Message, Natural, Positive

_TOPICS = 4096  # whose last message is kept, as many as the publisher counts
_PAGE = 500  # messages of one answer
_PAGE_BYTES = 1 << 18
_FLUSH_S = 1.0
_NEVER = 2**62
_UNKEPT = tuple(f"{wire.PREFIX}{kind}/" for kind in PULSE)

Prefix = Annotated[str, Meta(max_length=256)]
Run = Annotated[str, Meta(max_length=64)]


class HistoryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much can be sent again: `messages` and `bytes` in memory, and in a folder `journal` what survives a restart.

    The journal's files together have at most `journal_bytes`. `fsync` says what a loss of power may cost: nothing that
    was written (`each`), the last `second`, or what the system had not written yet (`never`). A crash of the daemon
    alone costs only what waited for the disk at that moment.
    """

    messages: Annotated[int, Meta(ge=0, le=10_000_000)] = 10_000
    bytes: Annotated[int, Meta(ge=0)] = 16_000_000
    journal: str = ""
    journal_bytes: Annotated[int, Meta(ge=1 << 20)] = 64_000_000
    fsync: Sync = "second"


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to send again: topics that begin as one of `topics`, of a `run` ("" is this one), `after` the last seq that
    was had of a topic, up to the seq `to`, and from the place `from` on, which the answer before named as `next`.
    """

    topics: Annotated[tuple[Prefix, ...], Meta(max_length=256)] = (wire.PREFIX,)
    run: Run = ""
    after: dict[str, Natural] = {}
    to: dict[str, Natural] = {}
    start: Natural = msgspec.field(default=0, name="from")
    limit: Annotated[int, Meta(ge=1, le=_PAGE)] = _PAGE


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last message of every topic that begins as one of `topics`, from the place `from` on."""

    topics: Annotated[tuple[Prefix, ...], Meta(max_length=256)] = (wire.PREFIX,)
    start: Natural = msgspec.field(default=0, name="from")


class Page(msgspec.Struct, frozen=True):
    """Messages in the order in which they were published; `next` is where to go on, null at the end.

    The first page tells all that was asked for and is no longer there: `truncated`, and `gone` with the first and last
    seq of every stretch of a topic.
    """

    run: str
    messages: list[msgspec.Raw]
    next: int | None
    truncated: bool = False
    gone: dict[str, list[tuple[int, int]]] = {}


class State(msgspec.Struct, frozen=True):
    """What is kept: runs, oldest first, messages and bytes in memory, and the journal with what it lost."""

    runs: list[str]
    messages: int
    bytes: int
    journal: str = ""
    journal_bytes: int = 0
    journal_lost: int = 0
    journal_trouble: str = ""
    journal_unreadable: list[str] = []


@dataclass(frozen=True, slots=True)
class Kept:
    """A message that is kept: its number in its run, from 1, and what of it is asked for."""

    number: int
    topic: str
    seq: int
    data: bytes


class _Key(msgspec.Struct, frozen=True):
    kind: str
    stream: str
    bundle: BundleRef
    seq: Positive


class History(Sink):
    """A sink that forgets: the engine's thread brings messages, others ask for them."""

    def __init__(self, config: HistoryConfig) -> None:
        self.place = f"journal {config.journal}" if config.journal else ""
        self.run = ""
        self.before: tuple[str, ...] = ()  # the runs of which the journal had something when this one began
        self._config = config
        self._lock = threading.Lock()
        self._ring: deque[Kept] = deque()
        self._bytes = self._number = 0
        self._last: OrderedDict[str, Kept] = OrderedDict()
        self._writer: Writer | None = None
        self._surveyed = False

    def open(self, run: str) -> None:
        """Keep what is published in `run` from now on. Raises DeviceError if the journal cannot be written."""
        self.run = run
        if self._config.journal:
            journal = Journal(Path(self._config.journal), run, self._config.journal_bytes)
            self.before = tuple(journal.runs())
            self._writer = Writer(journal, self._config.fsync)

    def answer_on(self, control: Control) -> None:
        """Add the methods `replay`, `snapshot` and `history`."""
        # What may be long, and read the disk, is no work for the control's own thread.
        control.add("replay", Replay, self.replay, where="worker", role="read")
        control.add("snapshot", Snapshot, self.snapshot, where="worker", role="read")
        control.add("history", NoParams, lambda _: self.state(), where="worker", role="read")

    def publish(self, message: Message, parts: list[bytes]) -> None:
        """Keep it, and let go of what is beyond the limits."""
        if message.kind in PULSE:
            return
        with self._lock:
            self._number += 1
            kept = Kept(self._number, parts[0].decode(), message.seq, parts[1])
            self._ring.append(kept)
            self._bytes += len(kept.data)
            while len(self._ring) > self._config.messages or self._bytes > self._config.bytes:
                self._bytes -= len(self._ring.popleft().data)
            self._last[kept.topic] = kept
            self._last.move_to_end(kept.topic)
            if len(self._last) > _TOPICS:
                self._last.popitem(last=False)
        if self._writer:
            self._writer.write(kept.number, kept.data)

    def replay(self, asked: Replay) -> Page:
        """A page of what was published. Raises CallError with the code `unknown_run`."""
        run = asked.run or self.run
        if run != self.run and run not in self._runs():
            raise CallError("unknown_run", f"nothing of the run {run!r} is kept; kept: {', '.join(self._runs())}")
        with self._lock:
            begins = self._ring[0].number if run == self.run and self._ring else _NEVER
            ring = [] if begins == _NEVER else list(islice(self._ring, max(0, asked.start - begins), None))
            last = {topic: kept.seq for topic, kept in self._last.items()} if run == self.run else {}
        page: list[Kept] = []
        size, following = 0, None
        seqs: dict[str, list[int]] = {}
        for kept in self._records(run, begins, ring, asked):
            if not kept.topic.startswith(asked.topics):
                continue
            if not asked.after.get(kept.topic, 0) < kept.seq <= asked.to.get(kept.topic, kept.seq):
                continue
            seqs.setdefault(kept.topic, []).append(kept.seq)
            if following is not None:
                continue
            if page and (len(page) >= asked.limit or size + len(kept.data) > _PAGE_BYTES):
                following = kept.number
                if asked.start:
                    break
            else:
                page.append(kept)
                size += len(kept.data)
        gone = {} if asked.start else _gone(asked, seqs, last)
        return Page(run, [msgspec.Raw(kept.data) for kept in page], following, bool(gone), gone)

    def snapshot(self, asked: Snapshot) -> Page:
        """A page of the last messages, in the order in which they were published."""
        with self._lock:
            found = [each for each in self._last.values() if each.number >= asked.start]
        page: list[Kept] = []
        size, following = 0, None
        for kept in found:
            if not kept.topic.startswith(asked.topics):
                continue
            if page and (len(page) >= _PAGE or size + len(kept.data) > _PAGE_BYTES):
                following = kept.number
                break
            page.append(kept)
            size += len(kept.data)
        return Page(self.run, [msgspec.Raw(kept.data) for kept in page], following)

    def state(self) -> State:
        """How much is kept, and how the journal does."""
        with self._lock:
            messages, size = len(self._ring), self._bytes
        if self._writer is None:
            return State(self._runs(), messages, size)
        journal = self._writer.journal
        damaged = [f"{name} at byte {offset}" for name, offset in sorted(journal.unreadable)]
        lost, trouble = self._writer.lost, self._writer.trouble
        return State(self._runs(), messages, size, str(journal.directory), journal.bytes(), lost, trouble, damaged)

    @property
    def lost(self) -> int:
        """Messages that are not in the journal and should be."""
        return self._writer.lost if self._writer else 0

    @property
    def loss(self) -> str:
        """Why the last of them is not."""
        return self._writer.trouble if self._writer else ""

    @property
    def trouble(self) -> str:
        """Why the journal does not take messages now, "" if it does or there is none."""
        return self._writer.trouble if self._writer and self._writer.failing else ""

    def attend(self) -> bool:
        """Once the daemon serves, look in a thread of its own for what is damaged in the journal. Nobody is greeted."""
        if self._writer and not self._surveyed:
            self._surveyed = True
            threading.Thread(target=self._writer.journal.survey, name="journal survey", daemon=True).start()
        return False

    @property
    def unreadable(self) -> int:
        """How many damaged stretches of the journal were met."""
        return len(self._writer.journal.unreadable) if self._writer else 0

    @property
    def damage(self) -> str:
        """Which they are, for people; "" if there are none."""
        damaged = self.state().journal_unreadable
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        return f"what was published at {damaged[0]}{more} cannot be read and is gone" if damaged else ""

    def flush(self) -> None:
        """From any thread but the engine's: wait a second at most until the journal has what was published so far."""
        if self._writer:
            self._writer.flush(_FLUSH_S)

    def describe(self) -> str:
        """What the journal holds, for people; "" if there is none."""
        if self._writer is None:
            return ""
        journal = self._writer.journal
        cut = f"; {journal.cut} bytes of a torn record were cut off" if journal.cut else ""
        return f"journal {journal.directory}: {len(journal.runs())} runs before this one{cut}"

    def _runs(self) -> list[str]:
        before = self._writer.journal.runs() if self._writer else []
        return [*(run for run in before if run != self.run), self.run]

    def _records(self, run: str, begins: int, ring: list[Kept], asked: Replay) -> Iterator[Kept]:
        """What is kept of a run, in order: from the journal what is before `begins`, then the ring."""
        if self._writer and begins > max(1, asked.start) and not _all_in(ring, asked):
            # What has left the ring may still wait for the disk.
            self._writer.flush(_FLUSH_S)
            for record in self._writer.journal.records(run, asked.start):
                if record.number >= begins:
                    break
                key = wire.parse(record.payload, _Key)
                topic = wire.topic_of(key.kind, key.stream, key.bundle.name)
                yield Kept(record.number, topic, key.seq, record.payload)
        yield from ring

    def close(self, seconds: float) -> str:
        """Let the journal be written, for at most so many seconds."""
        return self._writer.close(seconds) if self._writer else ""


def _all_in(ring: list[Kept], asked: Replay) -> bool:
    """Whether the ring alone has all that was asked for: of every topic the next one that the asker has not."""
    oldest: dict[str, int] = {}
    for kept in ring:
        oldest.setdefault(kept.topic, kept.seq)
    return all(topic in asked.after and oldest.get(topic, _NEVER) <= asked.after[topic] + 1 for topic in asked.topics)


def _gone(asked: Replay, seqs: dict[str, list[int]], last: dict[str, int]) -> dict[str, list[tuple[int, int]]]:
    """The stretches of each topic that were asked for and not found; `last` is the last that was published."""
    gone: dict[str, list[tuple[int, int]]] = {}
    for topic in {**seqs, **asked.after, **asked.to, **last}:
        if not topic.startswith(asked.topics) or topic.startswith(_UNKEPT):
            continue
        expected, stretches = asked.after.get(topic, 0) + 1, []
        for seq in seqs.get(topic, []):
            if seq > expected:
                stretches.append((expected, seq - 1))
            expected = seq + 1
        end = asked.to.get(topic, last.get(topic, 0))
        if end >= expected:
            stretches.append((expected, end))
        if stretches:
            gone[topic] = stretches
    return gone
