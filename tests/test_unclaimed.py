"""Streams that a daemon left in its state and that nobody goes on with: they are told as ended, and let go."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, write_config
from listed import Heeder
from test_restart import Bringer, collect, has, kept_sample, talk, wait_until_kept
from test_service import subscriber

from streamrnn import bundle, snapshot
from streamrnn.chunk import Opened
from streamrnn.engine import Engine, serving
from streamrnn.events import BundleRef, Lost
from streamrnn.publisher import Publisher
from streamrnn.statefile import KeptStream
from streamrnn.unclaimed import Unclaimed
from streamrnn.wire import Status

RATE = 8000


def said(sink: Heeder) -> list[tuple[str, str, int, str]]:
    """Of each message: stream, what it tells, the sample and within what it is counted."""
    told = {Status: lambda body: body.state, Lost: lambda body: f"{body.reason} {body.start} {body.end}"}
    return [(each.stream, told[type(each.body)](each.body), each.t.sample, each.counting) for each in sink.messages]


def kept(tiny_bundle: Path, *, end: int, spoilt: int = 0) -> KeptStream:
    """What a daemon keeps of a stream after `end` samples, of which the last were no numbers."""
    engine = Engine([serving(bundle.read(tiny_bundle))])
    samples = np.zeros((end, 1), np.float32)
    samples[end - spoilt :] = np.nan
    engine.open("mic", RATE, 1)
    engine.push("mic", 0, samples)
    engine.run()
    return KeptStream("r1", snapshot.encode(engine.snapshot("mic")))


def test_who_does_not_come_back_in_time_is_told_as_ended_with_the_gaps_that_were_not_told(tiny_bundle: Path) -> None:
    left = kept(tiny_bundle, end=4000, spoilt=500)
    sink = Heeder()
    ref = serving(bundle.read(tiny_bundle)).ref
    publisher = Publisher([sink], [ref])
    unclaimed = Unclaimed({"mic": left}, 8, 0.05)
    unclaimed.settle(publisher)
    assert not sink.messages
    time.sleep(0.06)
    unclaimed.settle(publisher)
    assert said(sink) == [
        ("mic", "not finite 3500 4000", 4000, "r1"),
        ("mic", "restart 4000 4000", 4000, "r1"),
        ("mic", "ended", 4000, "r1"),
    ]
    gap, _, over = sink.messages
    assert (gap.bundle, gap.gap, gap.epoch) == (ref, 500, 2)
    assert "nobody went on with it" in over.body.text  # type: ignore[union-attr]
    assert not unclaimed.streams
    assert not publisher.streams
    unclaimed.settle(publisher)
    assert len(sink.messages) == 3


@pytest.mark.parametrize("run", ["r2", ""])
def test_a_new_stream_ends_the_one_that_was_kept_under_its_name(tiny_bundle: Path, run: str) -> None:
    sink = Heeder()
    publisher = Publisher([sink], [BundleRef("other", "")])
    unclaimed = Unclaimed({"mic": kept(tiny_bundle, end=4000)}, 8, 60.0)
    assert unclaimed.take(publisher, Opened("mic", RATE, 1, 0, run)) == ()
    assert [each[1:] for each in said(sink)] == [("restart 4000 4000", 4000, "r1"), ("ended", 4000, "r1")]
    assert "another begins" in sink.messages[-1].body.text  # type: ignore[union-attr]
    assert not unclaimed.streams


def test_the_same_run_goes_on_and_nothing_is_told(tiny_bundle: Path) -> None:
    sink = Heeder()
    publisher = Publisher([sink], [])
    unclaimed = Unclaimed({"mic": kept(tiny_bundle, end=4000)}, 8, 0.001)
    (there,) = unclaimed.take(publisher, Opened("mic", RATE, 1, 0, "r1"))
    assert there.expected == 4000
    time.sleep(0.002)
    unclaimed.settle(publisher)
    assert not sink.messages


def test_more_than_there_may_be_are_told_as_ended_at_once(tiny_bundle: Path) -> None:
    left = kept(tiny_bundle, end=4000)
    sink = Heeder()
    unclaimed = Unclaimed({"old": left, "new": left}, 1, 60.0)
    unclaimed.settle(Publisher([sink], []))
    assert [each[:2] for each in said(sink)] == [("old", "restart 4000 4000"), ("old", "ended")]
    assert list(unclaimed.streams) == ["new"]


def test_a_stream_whose_client_never_comes_back_after_a_kill_is_told_as_ended(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    state = {"directory": str(tmp_path / "state"), "every_s": 0.2, "grace_s": 1.0}
    config = write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS], state=state)
    with Daemon(config) as daemon:
        bringer = Bringer(daemon, RATE)
        bringer.bring(talk(RATE), 0, 4000)
        wait_until_kept(tmp_path / "state", 4000)
        daemon.stop(signal.SIGKILL)
        bringer.close()
    with Daemon(config) as daemon, subscriber(daemon) as listening:
        told = collect(listening, has("ended"))
        assert [(each.body.start, each.body.end, each.body.reason) for each in told if isinstance(each.body, Lost)] == [
            (4000, 4000, "restart")
        ]
        assert (told[-1].stream, told[-1].t.sample, told[-1].counting) == ("mic", 4000, "r1")
        deadline = time.monotonic() + 60
        while kept_sample(tmp_path / "state") >= 0:  # and nothing is kept of it
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert daemon.stop() < 60
