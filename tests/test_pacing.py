"""Gathering: no longer than the loop is busy and never beyond its bound, and the figures that tell what it saves."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from streamrnn import bundle, timelapse
from streamrnn.capacity import contest
from streamrnn.capacity.daemons import module_command
from streamrnn.capacity.load import Plan, Stage
from streamrnn.engine import serving
from streamrnn.pacing import Pace, Tick


@given(st.floats(0, 0.1), st.lists(st.floats(0, 10), min_size=1))
def test_a_tick_is_as_long_as_a_few_turns_and_never_beyond_its_bound(longest: float, turns: list[float]) -> None:
    tick = Tick(longest)
    assert tick.seconds == 0.0
    for seconds in turns:
        tick.took(seconds)
        assert min(longest, seconds) <= tick.seconds <= longest


def test_a_turn_waits_for_the_tick_of_the_one_before() -> None:
    tick = Tick(0.03)
    pace = Pace(tick)
    pace.wait()
    begun = time.monotonic()
    tick.took(1.0)
    pace.wait()
    assert time.monotonic() - begun > 0.02


def test_a_timelapse_hears_every_chunk_whatever_is_gathered(tiny_bundle: Path) -> None:
    served = serving(bundle.read(tiny_bundle))
    lapse = timelapse.Timelapse(served, 6, bytes(2 * round(served.recognizer.rate * 0.1)))
    alone = lapse.play(0.0, 0.5)
    together = lapse.play(1e4, 0.5)
    heard = {stream: lapse._engine.counts(stream).heard for stream in lapse._engine.streams}
    lapse.close()
    assert set(heard.values()) == {12 * round(served.recognizer.rate * 0.1)}
    for played in (alone, together):
        assert played.batch >= 1
        assert played.core > 0
        assert 0 < played.p50_ms <= played.p99_ms
    assert len(timelapse.lines([alone, together])) == 4


def test_daemons_are_measured_in_turn_and_their_medians_told(tmp_path: Path) -> None:
    signal = tmp_path / "beat.i16"
    signal.write_bytes(bytes(2 * 16000))
    plan = Plan("", "", 16000, 1600, str(signal), (Stage(1, 0.6, 0.1),))
    command = {"echo": module_command("streamrnn.capacity.echo")}
    said: list[str] = []
    found = contest.side_by_side(command, plan, [4], 1, said.append)
    assert said == ["turn 1 of 1: echo"]
    (held,) = found["echo"]
    assert held.streams == 4
    assert held.rss > 1e6
    assert contest.lines("what", found)[-1].startswith("| echo | 4 |")
    assert contest.first_results(command, plan, 1)["echo"] > 0
