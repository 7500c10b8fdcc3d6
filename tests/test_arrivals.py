"""What comes out of order, twice, never or too fast: every sample is heard once or lies in one declared gap."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listed import Listed

from streamrnn.chunk import Chunk, Ended, Gap, Item, Opened
from streamrnn.client.backlog import Backlog
from streamrnn.engine import Engine
from streamrnn.intake import TOO_SLOW, Closed, Intake
from streamrnn.sessions import OVERLAP
from streamrnn.sources import SourceConfig, WhenFull
from streamrnn.sources.ordering import Ordering
from streamrnn.testing.source import check_source

LONG = 2**33


def chunk(start: int, n: int) -> Chunk:
    """Samples that are their own indices."""
    return Chunk("a", start, np.arange(start, start + n, dtype=np.float64).astype(np.float32)[:, None])


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Chunk], int]:
    """Chunks of one stream shuffled within a distance, some twice, some never; and how many samples it had."""
    sizes = draw(st.lists(st.integers(1, 400), min_size=1, max_size=25))
    starts = np.cumsum([0, *sizes]).tolist()
    whole = [chunk(at, n) for at, n in zip(starts, sizes, strict=False)]
    kept = [each for each in whole for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2])))]
    keys = [i + draw(st.integers(0, 4)) for i in range(len(kept))]
    return [each for _, each in sorted(zip(keys, kept, strict=True), key=lambda pair: pair[0])], starts[-1]


def once_or_declared(items: list[Item], total: int) -> None:
    """Of the samples `[0, total)` each is heard once or lies in one gap, as an engine sees it."""
    seen = np.zeros(total, int)
    expected = 0
    for item in items:
        if isinstance(item, Chunk):
            assert item.start <= expected
            seen[expected : item.end] += 1
            expected = max(expected, item.end)
        elif isinstance(item, Gap) and item.end > expected:
            seen[expected : item.end] += 1
            expected = item.end
    assert expected == total
    assert (seen == 1).all()


@given(arrivals(), st.integers(0, 2000))
def test_whatever_comes_however_each_sample_goes_on_once_or_is_declared(
    came: tuple[list[Chunk], int], span: int
) -> None:
    chunks, total = came
    ordering = Ordering("a", span)
    items: list[Item] = []
    for each in chunks:
        items += ordering.add(each)
        assert ordering.held == 0 or span > 0
    items += [*ordering.flush(), *ordering.lose(total)]
    once_or_declared(items, total)
    assert ordering.held == 0
    # What was never sent is in a gap, and with a window wide enough nothing else is.
    never = total - len({i for each in chunks for i in range(each.start, each.end)})
    lost = sum(item.end - item.start for item in items if isinstance(item, Gap))
    assert lost >= never
    if span >= 400 * 10:
        assert lost == never


@given(arrivals())
def test_a_window_that_is_wide_enough_puts_all_in_order(came: tuple[list[Chunk], int]) -> None:
    chunks, total = came
    ordering = Ordering("a", 10_000)
    items: list[Item] = [item for each in chunks for item in ordering.add(each)]
    items += [*ordering.flush(), *ordering.lose(total)]
    fresh: list[Item] = []
    expected = 0
    for item in items:
        if isinstance(item, Chunk) and item.start < expected:
            continue
        fresh.append(item)
        expected = item.end if isinstance(item, Chunk | Gap) else expected
    check_source(lambda: [Opened("a", 8000, 1), *fresh, Ended("a")])
    lost = {i for item in fresh if isinstance(item, Gap) for i in range(item.start, item.end)}
    assert lost == set(range(total)) - {i for each in chunks for i in range(each.start, each.end)}


def test_beyond_two_to_the_33_samples_order_is_the_same() -> None:
    ordering = Ordering("a", 500, LONG)
    assert ordering.add(Chunk("a", LONG + 100, np.zeros((100, 1), np.float32))) == []
    told = ordering.add(Chunk("a", LONG, np.zeros((50, 1), np.float32)))
    told += ordering.add(Chunk("a", LONG + 650, np.zeros((10, 1), np.float32)))
    spans = [(type(each), each.start, each.end) for each in told]
    assert spans == [
        (Chunk, LONG, LONG + 50),
        (Gap, LONG + 50, LONG + 100),
        (Chunk, LONG + 100, LONG + 200),
    ]
    assert ordering.held == 10


def test_the_same_samples_for_ever_are_not_held_for_ever() -> None:
    ordering = Ordering("a", 500)
    for _ in range(100):
        ordering.add(chunk(100, 50))
        assert ordering.held <= 1000


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 9000), st.integers(0, 9)), min_size=1, max_size=60),
    st.sampled_from(["drop_oldest", "drop_newest"]),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_what_a_queue_drops_is_declared_to_the_sample(
    came: list[tuple[str, int, int]], when_full: WhenFull, turns: list[int]
) -> None:
    """Chunks of two streams, some with a hole before them, through a queue that is emptied now and then."""
    items: list[Item] = [Opened("a", 8000, 1), Opened("b", 8000, 1)]
    ends = dict.fromkeys("ab", 0)
    for stream, n, hole in came:
        if hole == 0:
            items.append(Gap(stream, ends[stream], ends[stream] + 7, "missing"))
            ends[stream] += 7
        items.append(Chunk(stream, ends[stream], np.zeros((n, 1), np.float32)))
        ends[stream] += n
    items += [Ended("a"), Ended("b")]
    intake = Intake()
    intake.add(Listed([]), SourceConfig(queue_ms=1.0, when_full=when_full))  # 8192 samples in fact
    inlet = intake.inlets[0]
    taken: list[Item] = []
    for i, item in enumerate(items):
        inlet._put(item)
        if i in turns:
            taken += [entry for _, entry in intake.take() if not isinstance(entry, Closed)]
    waiting = [entry for _, entry in intake.take() if not isinstance(entry, Closed)]
    taken += waiting
    intake.bell.close()
    assert check_source(lambda: taken)
    for stream, end in ends.items():
        once_or_declared([item for item in taken if item.stream == stream], end)
    assert {item.reason for item in taken if isinstance(item, Gap)} <= {TOO_SLOW, "missing"}
    if not turns and when_full == "drop_oldest":
        for stream in ends:
            last = [item for item in taken if item.stream == stream and isinstance(item, Chunk)][-1:]
            assert not last or last[0].end == ends[stream]


def test_an_engine_that_stands_still_costs_a_bounded_queue() -> None:
    intake = Intake()
    intake.add(Listed([]), SourceConfig(queue_ms=1.0, when_full="drop_oldest"))
    inlet = intake.inlets[0]
    for stream in "ab":
        inlet._put(Opened(stream, 8000, 1))
    inlet._put(Chunk("b", 0, np.zeros((10, 1), np.float32)))
    begun = time.monotonic()
    for i in range(30_000):
        inlet._put(Chunk("a", i * 100, np.zeros((100, 1), np.float32)))
    assert time.monotonic() - begun < 10
    taken = [entry for _, entry in intake.take()]
    assert len(taken) < 100
    assert [each.end for each in taken if isinstance(each, Gap)] == [3_000_000 - 8100]
    intake.bell.close()


@given(
    st.lists(st.tuples(st.sampled_from(["append", "skip", "send", "drop"]), st.integers(1, 9000)), max_size=30),
    st.integers(0, 20_000),
)
def test_a_backlog_gives_back_what_was_put_in(steps: list[tuple[str, int]], most: int) -> None:
    backlog = Backlog(1, most)
    there: dict[int, float] = {}
    at = 0
    for what, n in steps:
        if what == "append":
            values = np.arange(backlog.end, backlog.end + n, dtype=np.float32)
            there.update({backlog.end + i: float(value) for i, value in enumerate(values)})
            backlog.append(values[:, None])
        elif what == "skip":
            backlog.skip(n)
        elif what == "send":
            start, samples = backlog.read(at, n)
            waiting = sorted(i for i in there if i >= at)
            assert start == (waiting[0] if waiting else backlog.end)
            assert samples[:, 0].tolist() == [there[start + i] for i in range(len(samples))]
            assert len(samples) or not waiting
            at = start + len(samples)
            backlog.trim(at)
        else:
            waiting = sorted(i for i in there if i >= at)
            assert backlog.waiting(at) == len(waiting)
            cut = backlog.after(at, min(n, len(waiting)))
            if waiting:
                assert cut == waiting[min(n, len(waiting)) - 1] + 1
                backlog.drop(cut)
                at = cut
                there = {i: value for i, value in there.items() if i >= cut}
    held = [i for i in there if i >= backlog.first]
    assert len(held) >= min(len(there), most) or backlog.waiting(backlog.first) >= most


@pytest.mark.parametrize("start", [2**31 * 16, LONG])
def test_an_engine_counts_beyond_32_bits(start: int, tiny_bundle: object) -> None:
    from streamrnn import bundle
    from streamrnn.engine import serving
    from streamrnn.testing.signals import sentence

    samples, _ = sentence(["low", "high"], 8000, np.random.default_rng(3))
    said = []
    for first in (0, start):
        engine = Engine([serving(bundle.read(tiny_bundle))])  # type: ignore[arg-type]
        engine.open("a", 8000, 1)
        if first:
            engine.lose("a", first, "missing")
        engine.push("a", first, samples)
        engine.push("a", first, samples[:10])
        engine.finish("a")
        events = engine.run()
        assert sum(event.kind == "gap" and event.body.reason == OVERLAP for event in events) == 1
        said.append([(e.body.label, e.body.start - first) for e in events if e.kind == "detection"])
    assert said[0] == said[1]
    assert [label for label, _ in said[0]] == ["low", "high"]
