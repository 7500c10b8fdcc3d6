"""Workers: what is heard in other processes is what an engine here hears, and one of them may end."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from daemons import INGEST, RESULTS, Daemon, write_config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_service import as_event, subscriber, talk, until_ended
from tones import RATE

from streamrnn import bundle, config
from streamrnn.bundle import Bundle
from streamrnn.client import Control, Pusher
from streamrnn.daemon_config import DaemonConfig
from streamrnn.engine import Engine, Serving
from streamrnn.errors import ConfigError, StreamError
from streamrnn.events import Event, Lost
from streamrnn.metrics import Meter
from streamrnn.wire import Status
from streamrnn.workers import Sharded, elsewhere
from streamrnn.workers.orders import Lose
from streamrnn.workers.share import GONE

PATIENCE_S = 60.0


class Crewed:
    """A sharded engine, and what it told of its workers."""

    def __init__(self, servings: list[Serving], stall_s: float = 30.0) -> None:
        self.meter, self.said = Meter(), list[Status]()
        self.engine = Sharded(
            servings,
            workers=2,
            rows_a_call=64,
            round_s=1.0,
            stall_s=stall_s,
            meter=self.meter,
            tell=self.said.append,
            progress=lambda: None,
            ring=lambda: None,
        )

    def until(self, done: Callable[[list[Event]], bool]) -> list[Event]:
        """Step until something has come about; the events until then."""
        events: list[Event] = []
        deadline = time.monotonic() + PATIENCE_S
        while not done(events):
            assert time.monotonic() < deadline
            events += self.engine.step()
        return events

    def until_over(self, stream: str) -> list[Event]:
        return self.until(lambda _: self.engine.over(stream) and not self.engine.pending)

    def processes(self) -> list[int]:
        return [process.pid for share in self.engine._shares for process in share.keeper._processes]

    def heard(self) -> None:
        """All that was given has been heard."""
        self.until(lambda _: all(each.at_rest for each in self.engine._shares) and not self.engine.pending)

    def ready(self) -> None:
        """Both workers are there."""
        self.until(lambda _: all(each.place == "idle" for each in self.engine._shares))


@pytest.fixture(scope="module")
def there(tiny_bundle: Path) -> Bundle:
    return bundle.read(tiny_bundle)


@pytest.fixture(scope="module")
def placed(serving: Serving, there: Bundle) -> Serving:
    return elsewhere(serving, there, "onnx")


@pytest.fixture(scope="module")
def crewed(placed: Serving) -> Iterator[Crewed]:
    made = Crewed([placed])
    yield made
    made.engine.close()


@pytest.fixture
def crew(placed: Serving) -> Iterator[Crewed]:
    """One that may be hurt."""
    made = Crewed([placed])
    made.ready()
    yield made
    made.engine.close()


def give(engine: Engine | Sharded, stream: str, samples: np.ndarray, cuts: list[int], lost: int) -> None:
    """A stream from its start to its end, in pieces; one of them is left out, and one is spoiled."""
    engine.open(stream, RATE, 1)
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(samples)}), len(samples)]
    for i, (start, end) in enumerate(itertools.pairwise(edges)):
        if i == lost:
            engine.lose(stream, end, "left out")
            continue
        piece = samples[start:end].copy()
        if i == lost + 2:
            piece[-1] = np.nan
        engine.push(stream, start, piece)
    engine.finish(stream)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 30_000), max_size=12), lost=st.integers(0, 8), seed=st.integers(0, 2))
def test_what_workers_hear_is_what_an_engine_here_hears(
    crewed: Crewed, serving: Serving, cuts: list[int], lost: int, seed: int
) -> None:
    samples = talk(seed)
    here = Engine([serving])
    give(here, "mic", samples, cuts, lost)
    wanted = here.run()
    crewed.engine._crew.epochs.clear()  # each example is the first of its name
    give(crewed.engine, "mic", samples, cuts, lost)
    assert crewed.until_over("mic") == wanted
    assert wanted


def test_streams_are_shared_out_and_each_call_is_counted(crewed: Crewed, placed: Serving) -> None:
    streams = [f"s{i}" for i in range(6)]
    for i, stream in enumerate(streams):
        crewed.engine.open(stream, RATE, 1)
        crewed.engine.push(stream, 0, talk(0)[: 1000 * (i + 1)])
    assert [len(each.streams) for each in crewed.engine._shares] == [3, 3]
    assert crewed.engine.counts("s1").expected == 2000
    crewed.heard()
    assert crewed.engine.counts("s1").heard == 2000
    for stream in streams:
        crewed.engine.finish(stream)
        crewed.until_over(stream)
    values = crewed.meter.values
    assert values["frames_total"][placed.name,] >= 6 * 1000 / 200
    for number in ("0", "1"):
        assert values["worker_up"][number,] == 1.0
        assert values["worker_streams"][number,] == 0
        assert values["worker_busy_seconds_total"][number,] > 0
        assert values["worker_starts_total"][number,] == 1


def test_a_stream_is_refused_as_an_engine_here_refuses_it(crewed: Crewed, serving: Serving) -> None:
    here = Engine([serving])
    for ask in (
        lambda engine: engine.open("mic", 0, 1),
        lambda engine: engine.open("mic", RATE, 1, ["nothing"]),
        lambda engine: engine.push("nobody", 0, np.zeros((1, 1), np.float32)),
        lambda engine: engine.finish("nobody"),
    ):
        told = []
        for engine in (here, crewed.engine):
            with pytest.raises(StreamError) as refused:
                ask(engine)
            told.append(str(refused.value))
        assert told[0] == told[1]
    crewed.engine.open("mic", RATE, 1)
    with pytest.raises(StreamError, match="already open"):
        crewed.engine.open("mic", RATE, 1)
    with pytest.raises(StreamError, match="shape"):
        crewed.engine.push("mic", 0, np.zeros((5, 2), np.float32))
    crewed.engine.finish("mic")
    crewed.until_over("mic")


def test_an_order_that_cannot_be_done_is_told_once_and_ends_no_worker(crewed: Crewed) -> None:
    for _ in range(3):
        crewed.engine._shares[0].add(Lose("nobody", 10, "a test"))
        crewed.heard()
    assert [each.text for each in crewed.said if "nobody" in each.text] == [
        "worker 0: nobody: no such stream is open; nothing is known here"
    ]


def test_a_stream_goes_on_from_a_snapshot_of_a_worker_as_from_one_taken_here(crewed: Crewed, serving: Serving) -> None:
    samples = talk(1)
    cut = len(samples) // 2 + 100
    crewed.engine.open("mic", RATE, 1)
    crewed.engine.push("mic", 0, samples[:cut])
    crewed.heard()
    taken = crewed.engine.snapshots(["mic"])["mic"]
    assert (taken.expected, taken.heard) == (cut, cut)
    here = Engine([serving])
    here.restore(taken)
    here.push("mic", cut, samples[cut:])
    here.finish("mic")
    crewed.engine.finish("mic")
    crewed.until_over("mic")
    crewed.engine.restore(taken)
    crewed.engine.push("mic", cut, samples[cut:])
    crewed.engine.finish("mic")
    assert crewed.until_over("mic") == here.run()


def test_what_a_worker_knew_when_it_was_killed_lies_in_a_gap_and_what_came_since_is_heard(crew: Crewed) -> None:
    samples, engine = talk(0), crew.engine
    for stream in ("mic0", "mic1"):
        engine.open(stream, RATE, 1)
        engine.push(stream, 0, samples[:4000])
    crew.heard()
    os.kill(crew.processes()[0], signal.SIGKILL)
    crew.until(lambda _: any(each.state == "failed" for each in crew.said))
    assert engine._shares[0].place == "away"
    for stream in ("mic0", "mic1"):
        engine.push(stream, 4000, samples[4000:])
    events = crew.until(lambda _: any(each.state == "mended" for each in crew.said))
    for stream in ("mic0", "mic1"):
        engine.finish(stream)
        events += crew.until_over(stream)
    # Of what it had been given before nothing was on its way: the gap is empty, and a new epoch begins.
    assert [each.body for each in events if isinstance(each.body, Lost)] == [Lost(4000, 4000, RATE, GONE)]
    assert {each.epoch for each in events if each.stream == "mic0"} == {1}
    assert {each.epoch for each in events if each.stream == "mic1"} == {0}
    assert [each.body.label for each in events if each.stream == "mic1" and each.kind == "detection"]
    assert crew.meter.values["worker_starts_total"]["0",] == 2


def test_what_is_too_much_for_a_worker_that_is_away_lies_in_its_gap(
    crew: Crewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamrnn.workers.share._HELD_AWAY", 5000)
    samples, engine = talk(0), crew.engine
    engine.open("mic", RATE, 1)
    engine.push("mic", 0, samples[:1000])
    crew.heard()
    os.kill(crew.processes()[0], signal.SIGKILL)
    crew.until(lambda _: any(each.state == "failed" for each in crew.said))
    engine.push("mic", 1000, samples[1000:9000])
    engine.push("mic", 9000, samples[9000:10000])
    engine.finish("mic")
    events = crew.until_over("mic")
    assert [each.body for each in events if isinstance(each.body, Lost)] == [Lost(1000, 9000, RATE, GONE)]
    assert {each.epoch for each in events} == {1}


def test_a_stream_that_ends_while_its_worker_is_away_is_over_with_the_next_one(crew: Crewed) -> None:
    engine = crew.engine
    engine.open("mic", RATE, 1)
    engine.push("mic", 0, talk(0)[:1000])
    os.kill(crew.processes()[0], signal.SIGKILL)
    crew.until(lambda _: any(each.state == "failed" for each in crew.said))
    engine.finish("mic")
    assert not engine.pending
    assert not engine.over("mic")
    with pytest.raises(StreamError, match="not over yet"):
        engine.open("mic", RATE, 1)
    crew.until_over("mic")
    engine.open("mic", RATE, 1)
    assert engine.counts("mic").epoch >= 2


def test_a_stream_whose_end_was_on_its_way_to_a_worker_that_ended_is_over_with_the_next_one(crew: Crewed) -> None:
    engine, samples = crew.engine, talk(0)
    engine.open("mic", RATE, 1)
    engine.push("mic", 0, samples[:1000])
    crew.heard()
    os.kill(crew.processes()[0], signal.SIGSTOP)
    engine.push("mic", 1000, samples[1000:3000])
    engine.finish("mic")
    engine.step()
    os.kill(crew.processes()[0], signal.SIGKILL)
    assert [each.body for each in crew.until_over("mic")] == [Lost(1000, 3000, RATE, GONE)]


def test_what_a_worker_has_no_time_for_lies_in_gaps(crew: Crewed) -> None:
    engine = crew.engine
    engine.open("mic", RATE, 1)
    crew.heard()
    os.kill(crew.processes()[0], signal.SIGSTOP)
    engine.push("mic", 0, talk(0)[:1000])
    engine.finish("mic")
    engine.drain()
    assert engine.pending
    events = engine.step() + engine.abandon("no time")
    assert [each.body for each in events] == [Lost(0, 1000, RATE, "no time")]
    assert engine.over("mic")


def test_a_daemon_tells_the_same_with_one_worker_and_with_two(tmp_path: Path, tiny_bundle: Path) -> None:
    told = []
    for workers in (1, 2):
        path = write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS], workers=workers)
        with Daemon(path) as daemon, subscriber(daemon, "v1/") as listening, Control(daemon.control) as control:
            pushers = [Pusher(daemon.ingest, stream=f"mic{i}", rate=RATE) for i in range(5)]
            for i, pusher in enumerate(pushers):
                pusher.push(talk(i)[:20_000])
                pusher.skip(i * 100)
            control.call("reload")
            for i, pusher in enumerate(pushers):
                pusher.push(talk(i)[20_000 + i * 100 :])
                pusher.end()
                pusher.close()
            heard = until_ended(listening, 5)
            assert daemon.stop() < 2.0
        assert any(isinstance(each.body, Status) and each.body.state == "reloaded" for each in heard)
        events = [as_event(each) for each in heard if each.kind in ("detection", "gap")]
        told.append({stream: [each for each in events if each.stream == stream] for stream in ("mic0", "mic4")})
        told[-1]["ends"] = sorted((each.stream, each.t.sample) for each in heard if has_ended(each.body))  # type: ignore[type-var]
    assert told[0] == told[1]
    assert any(isinstance(each.body, Lost) for each in told[0]["mic4"])


def has_ended(body: object) -> bool:
    return isinstance(body, Status) and body.state == "ended"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": 2, "shadows": [{"path": "digits"}]}, "shadows: not with 2 workers; leave out one of the two"),
        ({"workers": 2, "clips": {"directory": "clips"}}, "clips: not with 2 workers; leave out one of the two"),
    ],
)
def test_a_config_that_workers_cannot_serve_is_refused_in_one_line(
    tmp_path: Path, tiny_bundle: Path, more: dict[str, object], told: str
) -> None:
    path = write_config(tmp_path / "daemon.yaml", tiny_bundle, [INGEST], [RESULTS], **more)
    with pytest.raises(ConfigError, match=told) as refused:
        config.load(path, DaemonConfig, [])
    assert "\n" not in str(refused.value)
