"""Streams that are abandoned: what was heard is told, and what still waits lies in a gap, sample by sample."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listed import Heeder
from tones import HOP, RATE

from streamrnn import bundle
from streamrnn.admission import Admission
from streamrnn.chunk import STOPPED, Chunk, Ended, Item, Opened
from streamrnn.clips import ClipsConfig
from streamrnn.clips.keeping import Clips
from streamrnn.closing import close
from streamrnn.control import Control
from streamrnn.daemon_config import LimitsConfig
from streamrnn.engine import serving
from streamrnn.events import Event, Heard, Lost
from streamrnn.hearing import Here
from streamrnn.intake import Intake
from streamrnn.metrics import Meter
from streamrnn.publisher import Publisher
from streamrnn.sources import Source, SourceConfig
from streamrnn.statefile import Kept
from streamrnn.streams import Streams
from streamrnn.testing.signals import sentence
from streamrnn.wire import Status

_WHY = "no time"


@pytest.fixture(scope="module")
def engine_of(tiny_bundle: Path):
    served = serving(bundle.read(tiny_bundle))
    return lambda: Here([served], rows_a_call=2, round_s=0.5)


def _gaps(events: list[Event], stream: str) -> list[tuple[int, int, str]]:
    lost = [event.body for event in events if event.stream == stream and isinstance(event.body, Lost)]
    return [(each.start, each.end, each.reason) for each in lost]


@settings(max_examples=25, deadline=None)
@given(steps=st.integers(0, 12), cuts=st.lists(st.integers(1, 8 * RATE), max_size=4), streams=st.integers(1, 4))
def test_what_was_heard_is_told_as_ever_and_the_rest_is_one_gap(engine_of, steps, cuts, streams) -> None:
    said, _ = sentence(("low", "high", "low", "high", "high", "low"), RATE, np.random.default_rng(1))
    whole, engine = engine_of(), engine_of()
    names = [f"mic{i}" for i in range(streams)]
    for each in (whole, engine):
        for name in names:
            each.open(name, RATE, 1)
            edges = sorted({0, *(cut for cut in cuts if cut < len(said)), len(said)})
            for start, end in itertools.pairwise(edges):
                each.push(name, start, said[start:end])
    heard = [event for _ in range(steps) for event in engine.step()]
    for each in (whole, engine):
        for name in names:
            each.finish(name)
    wanted = whole.run()
    abandoned = engine.abandon(_WHY)
    assert not engine.pending
    for name in names:
        told = _gaps([*heard, *abandoned], name)
        assert len(told) == 1
        start, end, why = told[0]
        assert (end, why) == (len(said), _WHY)
        assert start % HOP == 0
        # Every word that was decided before the gap is the one of a run that heard all.
        words = [event for event in heard if event.stream == name and isinstance(event.body, Heard)]
        assert words == [event for event in wanted if event.stream == name and event.sample <= start]


def test_gaps_that_were_not_told_yet_are_told_and_so_is_the_next_stream_of_a_name(engine_of) -> None:
    engine = engine_of()
    for lost in (700, 900):
        engine.open("mic", RATE, 1, epoch=lost)
        engine.push("mic", 0, np.zeros((400, 1), np.float32))
        engine.lose("mic", lost, "the cable")
        engine.finish("mic")
    told = engine.abandon(_WHY)
    assert _gaps(told, "mic") == [(0, 400, _WHY), (400, 700, "the cable"), (0, 400, _WHY), (400, 900, "the cable")]
    assert len({event.id for event in told}) == 4
    assert not engine.pending


def test_an_open_stream_is_left_as_it_is(engine_of) -> None:
    engine = engine_of()
    engine.open("mic", RATE, 1)
    engine.push("mic", 0, np.zeros((4000, 1), np.float32))
    assert engine.abandon(_WHY) == []
    assert engine.pending


def test_parts_are_closed_at_once_and_none_holds_up_another() -> None:
    import threading
    import time

    never, met = threading.Event(), threading.Barrier(2, timeout=10)

    def broken() -> str:
        raise RuntimeError("a fault")

    parts = [
        ("stuck", lambda: str(never.wait())),
        ("broken", broken),
        ("one", lambda: f"{min(met.wait(), 0)} lost"),  # both wait for one another
        ("two", lambda: "" if met.wait() >= 0 else "?"),
    ]
    begun = time.monotonic()
    told = close(parts, 0.3)
    assert 0.3 < time.monotonic() - begun < 5.0
    assert told == ["stuck: did not end in time", "broken: broke, RuntimeError: a fault", "one: 0 lost"]
    never.set()


class _Silent(Source):
    """A source whose items the test hands over itself."""

    def items(self) -> Iterator[Item]:
        yield from ()


def test_a_stream_that_may_go_on_does_so_where_it_was_kept_and_another_ends_with_a_gap(engine_of) -> None:
    engine, sink = engine_of(), Heeder()
    intake = Intake()
    control = Control(intake.bell)
    streams = Streams(
        engine,
        Publisher([sink], []),
        Admission(LimitsConfig(max_streams=10)),
        Kept(runs=1),
        Clips(ClipsConfig(), Meter(), control),
    )
    inlet = intake.add(_Silent("here"), SourceConfig())

    def chunk(stream: str, start: int, n: int) -> Chunk:
        return Chunk(stream, start, np.zeros((n, 1), np.float32))

    for stream, run in (("pushed", "r1"), ("played", "")):
        streams.hear(inlet, Opened(stream, RATE, 1, 0, run))
        streams.hear(inlet, chunk(stream, 0, 8000))
    engine.run()
    streams.settle()
    streams.snapshots()
    for stream in ("pushed", "played"):
        streams.hear(inlet, chunk(stream, 8000, 1000))
        streams.leave(inlet, chunk(stream, 9000, 600))
        streams.leave(inlet, chunk(stream, 9600, 400))
    streams.leave(inlet, Ended("pushed"))  # its client, who is not told that it is over, says so again
    for stream in list(inlet.streams):
        streams.stop(inlet, stream)
    lost = streams.abandon()
    streams.settle()
    assert _gaps(lost, "pushed") == []
    assert _gaps(lost, "played") == [(8000, 9000, STOPPED), (9000, 10_000, STOPPED)]
    told = {each.stream: (each.body, each.t.sample) for each in sink.messages if isinstance(each.body, Status)}
    assert told == {
        "pushed": (Status("suspended", "may go on with sample 8000"), 8000),
        "played": (Status("ended", ""), 10_000),
    }
    run, kept = streams.snapshots()[1]["pushed"]
    assert (run, kept.expected) == ("r1", 8000)
    control.close()
    intake.bell.close()
