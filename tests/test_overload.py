"""More than a daemon can hear: streams are refused with the reason, and samples shed as their source says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from listed import Heeder, Listed
from tones import RATE

from streamrnn import bundle
from streamrnn.admission import Admission
from streamrnn.chunk import Chunk, Ended, Item, Opened
from streamrnn.client import Pusher
from streamrnn.clips import ClipsConfig
from streamrnn.clips.keeping import Clips
from streamrnn.control import Control
from streamrnn.daemon_config import LimitsConfig
from streamrnn.engine import serving
from streamrnn.errors import StreamError
from streamrnn.events import Lost
from streamrnn.hearing import Here
from streamrnn.intake import TOO_SLOW, Closed, Intake
from streamrnn.metrics import Meter
from streamrnn.publisher import Publisher
from streamrnn.sources import SourceConfig, WhenFull, room
from streamrnn.statefile import Kept
from streamrnn.streams import Streams


def silence(sizes: list[int]) -> list[Chunk]:
    starts = np.cumsum([0, *sizes])
    return [Chunk("a", int(at), np.zeros((n, 1), np.float32)) for at, n in zip(starts, sizes, strict=False)]


def test_a_stream_for_which_there_is_no_room_is_refused_with_what_the_others_cost(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    # A load below that of one stream: one is let in whatever it costs, on any machine.
    config = write_config(tmp_path / "d.yaml", tiny_bundle, [INGEST], [RESULTS], engine={"max_load": 1e-9})
    with Daemon(config) as daemon:
        assert any("room for 1 stream" in line for line in daemon.said)
        first = Pusher(daemon.ingest, stream="first", rate=RATE)
        with pytest.raises(StreamError, match=r"the 1 streams that are open take .* of a core.* max_load 1e-09"):
            Pusher(daemon.ingest, stream="second", rate=RATE)
        first.push(np.zeros((RATE, 1), np.float32))
        first.end()
        Pusher(daemon.ingest, stream="second", rate=RATE).end()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9000), st.integers(0, 5)), min_size=1, max_size=40))
def test_with_drop_oldest_nothing_that_is_taken_lies_further_back_than_the_queue_is_long(
    came: list[tuple[int, int]],
) -> None:
    config = SourceConfig(queue_ms=1500.0, when_full="drop_oldest")
    intake = Intake()
    inlet = intake.add(Listed([]), config)
    inlet._put(Opened("a", RATE, 1))
    for chunk, (size, turn) in zip(silence([size for size, _ in came]), came, strict=True):
        inlet._put(chunk)
        if not turn:
            heard = [each for _, each in intake.take() if isinstance(each, Chunk)]
            longest = max(room(config.queue_ms, RATE), size)
            assert all(chunk.end - each.start <= longest for each in heard)
    intake.bell.close()


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
def test_what_an_engine_was_too_slow_for_is_published_as_gaps_and_the_rest_is_heard(
    tiny_bundle: Path, when_full: WhenFull
) -> None:
    engine, sink, intake = Here([serving(bundle.read(tiny_bundle))]), Heeder(), Intake()
    control, publisher = Control(intake.bell), Publisher([sink], [])
    clips = Clips(ClipsConfig(), Meter(), control)
    streams = Streams(engine, publisher, Admission(LimitsConfig(max_load=0)), Kept(1), clips)
    config = SourceConfig(queue_ms=1.0, when_full=when_full)
    chunks = silence([1000] * 30)
    items: list[Item] = [Opened("a", RATE, 1), *chunks, Ended("a")]
    inlet = intake.add(Listed(items), config)
    inlet.run()  # all of it comes before the engine looks once
    for each, entry in intake.take():
        if not isinstance(entry, Closed):
            streams.hear(each, entry)
    for event in engine.run():
        publisher.event(event)
    streams.settle()
    control.close()
    intake.bell.close()
    gaps = [message.body for message in sink.messages if isinstance(message.body, Lost)]
    queue = room(config.queue_ms, RATE) // 1000 * 1000
    lost = (0, 30_000 - queue) if when_full == "drop_oldest" else (queue, 30_000)
    assert [(each.start, each.end, each.reason) for each in gaps] == [(*lost, TOO_SLOW)]
    assert streams.heard == queue
