"""The judge: the laws that hold whatever happens to a daemon, over what was produced and what was heard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from content import Produced
from footprint import Footprint
from oracle import Record

from streamrnn.events import Event, Heard, Lost
from streamrnn.wire import Beat, Bye, Hello, Message, Status

Span = tuple[int, int]
BACK_S = 5.0
_SCORE = 2.5e-4  # within 1e-4, then each rounded to 1e-4


def duplicates(messages: Iterable[Message]) -> list[str]:
    """No conflicting duplicates: what has the same id says the same, and no word is told under two ids."""
    wrong: list[str] = []
    by_id: dict[str, Message] = {}
    by_place: dict[tuple[str, str, int], Message] = {}
    words: dict[tuple[str, str, str], list[Message]] = {}
    for message in messages:
        place = (message.run, message.topic, message.seq)
        before = by_place.setdefault(place, message)
        if before != message:
            wrong.append(f"{message.topic} {message.seq} of run {message.run} came as two messages")
        if not message.id:
            continue
        first = by_id.setdefault(message.id, message)
        if not _agree(first, message):
            wrong.append(f"id {message.id} says {first.body} and {message.body}")
        elif first is message and isinstance(message.body, Heard):
            told = words.setdefault((message.stream, message.bundle.name, message.body.label), [])
            wrong += [f"{message.stream} tells {each.body} and {message.body}" for each in told if _meet(each, message)]
            told.append(message)
    return wrong


class Counts:
    """The `seq` of every topic of every run, message by message."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], int] = {}
        self._greeted: set[str] = set()

    def follow(self, message: Message) -> list[str]:
        """What a message shows to have been left out before it."""
        body, run, greeted = message.body, message.run, message.run in self._greeted
        wrong: list[str] = []
        if isinstance(body, Hello) and not greeted:
            self._greeted.add(run)
            self._last |= {(run, topic): seq for topic, seq in body.topics.items()}
        elif isinstance(body, Hello | Beat | Bye) and greeted:
            for topic, seq in body.topics.items():
                had = self._last.get((run, topic), 0)
                if seq > had:
                    wrong.append(f"{topic} has {seq} messages, {had} came")
                    self._last[run, topic] = seq
        if greeted and message.seq != self._last.get((run, message.topic), 0) + 1:
            wrong.append(f"{message.topic} goes from {self._last.get((run, message.topic), 0)} to {message.seq}")
        self._last[run, message.topic] = message.seq
        return wrong


def left_out(messages: Iterable[Message]) -> list[str]:
    """A subscriber that keeps up gets every message: the counts of each topic have no holes, and tell no more."""
    counts = Counts()
    return [wrong for message in messages for wrong in counts.follow(message)]


def undeclared(messages: Iterable[Message], produced: Produced) -> list[str]:
    """Every missing sample lies in a declared gap, and when a stream is over all of its samples are counted."""
    messages = list(messages)
    declared = gaps(messages, produced.stream)
    wrong = [
        f"{produced.stream}: samples {start} to {end} are missing and not declared"
        for start, end in _outside(produced.lost, declared)
    ]
    ends = [
        message.t.sample
        for message in messages
        if message.stream == produced.stream and isinstance(message.body, Status) and message.body.state == "ended"
    ]
    if not ends or ends[-1] != produced.end:
        wrong.append(f"{produced.stream}: ended at {ends[-1:]}, {produced.end} were produced")
    return wrong


def different(messages: Iterable[Message], wanted: Sequence[Event], stream: str, memory: int) -> list[str]:
    """Outside of gaps, and of the `memory` samples before and after them, events are those of the run without faults.

    Before: a word that a gap cuts off is decided by what was heard of it; after: the memory is fresh.
    """
    messages = list(messages)
    near = [(start - memory, end + memory) for start, end in gaps(messages, stream)]
    given: dict[str, Message] = {}
    for message in messages:
        if message.stream == stream and isinstance(message.body, Heard):
            given.setdefault(message.id, message)
    left = {(message.body.label, message.body.start): message.body for message in given.values()}
    wrong = []
    for event in wanted:
        body = event.body
        assert isinstance(body, Heard)
        match = left.get((body.label, body.start))
        if match is not None and _same(match, body):
            del left[body.label, body.start]
        elif not _touches((body.start, event.sample), near):
            wrong.append(f"{stream}: {body} is missing")
    wrong += [f"{stream}: {body} is new" for body in left.values() if not _touches((body.start, body.end), near)]
    return wrong


def slow(records: Iterable[Record], stream: str, sample: int, healed: float, seconds: float = BACK_S) -> list[str]:
    """A word that is said after the fault is over is heard in time."""
    words = [r for r in records if r.message.stream == stream and isinstance(r.message.body, Heard)]
    fresh = [r.at - healed for r in words if isinstance(r.message.body, Heard) and r.message.body.start >= sample]
    if not fresh:
        return [f"{stream}: no word after {sample}"]
    return [] if min(fresh) <= seconds else [f"{stream}: a word {min(fresh):.1f} s after it was over"]


def grown(before: Footprint, after: Footprint, megabytes: float = 5.0) -> list[str]:
    """Memory, descriptors and threads are back at where they were."""
    wrong = [
        f"{what} grew from {getattr(before, what)} to {getattr(after, what)}"
        for what in ("descriptors", "threads")
        if getattr(after, what) > getattr(before, what)
    ]
    if after.rss_mb > before.rss_mb + megabytes:
        wrong.append(f"memory grew from {before.rss_mb:.1f} to {after.rss_mb:.1f} MB")
    return wrong


def gaps(messages: Iterable[Message], stream: str) -> list[Span]:
    """What was declared lost of a stream, joined and in order; with the reason `overlap` nothing is."""
    spans = sorted(
        (message.body.start, message.body.end)
        for message in messages
        if message.stream == stream and isinstance(message.body, Lost) and message.body.reason != "overlap"
    )
    joined: list[Span] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _outside(spans: Sequence[Span], declared: Sequence[Span]) -> list[Span]:
    return [span for span in spans if not any(start <= span[0] and span[1] <= end for start, end in declared)]


def _touches(span: Span, others: Iterable[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


def _same(a: Heard, b: Heard) -> bool:
    return (a.label, a.start, a.end, a.rate) == (b.label, b.start, b.end, b.rate) and abs(a.score - b.score) < _SCORE


def _agree(a: Message, b: Message) -> bool:
    if (a.kind, a.stream, a.bundle, a.epoch) != (b.kind, b.stream, b.bundle, b.epoch):
        return False
    if isinstance(a.body, Heard) and isinstance(b.body, Heard):
        return _same(a.body, b.body)
    return a.body == b.body


def _meet(a: Message, b: Message) -> bool:
    assert isinstance(a.body, Heard)
    assert isinstance(b.body, Heard)
    return a.body.start < b.body.end and b.body.start < a.body.end
