"""Rows that carry times on the grid: the same samples for any splitting, each once, filled or declared."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.channels import ChannelsConfig
from streamrnn.chunk import Chunk, Ended, Gap, Note, Opened
from streamrnn.grid import ITS_CLOCK, MISSING, Grid, GridConfig, Placed
from streamrnn.instants import nanoseconds
from streamrnn.placing import Placing
from streamrnn.sources import SensorConfig
from streamrnn.testing.source import check_source

MS = 1_000_000
POLICIES = ("hold", "interpolate", "gap")


def rows(times: Sequence[int], values: Sequence[float] = ()) -> Chunk:
    """Rows of one channel, by default each its own time in ms."""
    values = list(values) or [time / MS for time in times]
    return Chunk("a", 0, np.array(values, np.float32)[:, None], np.array(times, np.int64))


def placed(grid: Grid, chunks: Sequence[Chunk]) -> tuple[list[Chunk | Gap], Placed]:
    state = grid.initial_state(1)
    items: list[Chunk | Gap] = []
    for chunk in chunks:
        if len(chunks) > 8:
            told, state = grid.step(chunk, state)
        else:
            before = copy.deepcopy(state)
            told, after = grid.step(chunk, state)
            assert repr(state) == repr(before)  # the argument is never written to
            state = after
        items += told
    told, state = grid.finish("a", state)
    return items + told, state


def samples(items: Sequence[Chunk | Gap]) -> list[float]:
    """By index; a lost one is None."""
    check_source(lambda: [Opened("a", 50, 1), *items, Ended("a")])
    heard: list[Any] = []
    for item in items:
        heard += item.samples[:, 0].tolist() if isinstance(item, Chunk) else [item.reason] * (item.end - item.start)
    return heard


@st.composite
def arrivals(draw: st.DrawFn) -> list[int]:
    """Times of a 50 Hz sensor: jittered, some missing, some twice, some out of order, its clock set now and then."""
    steps = draw(st.lists(st.sampled_from([20, 20, 20, 20, 20, 0, 40, 80, 300, 7, 30_000]), min_size=1, max_size=40))
    jitter = draw(st.lists(st.integers(-14, 14), min_size=len(steps), max_size=len(steps)))
    order = draw(st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 9]), min_size=len(steps), max_size=len(steps)))
    times = np.cumsum(steps) + np.array(jitter) * draw(st.sampled_from([0, 0, 1]))
    mixed = [int(times[i]) for i in sorted(range(len(steps)), key=lambda i: i + order[i])]
    again = draw(st.sampled_from([0, 0, -5000, 10**9]))
    return [(time + 5) * MS for time in [*mixed, *(again + k * 20 for k in range(60 if again else 0))]]


@settings(max_examples=40, deadline=None)
@given(
    arrivals(),
    st.sampled_from(POLICIES),
    st.sampled_from([0.0, 60.0, 500.0]),
    st.sampled_from([0.0, 100.0]),
    st.lists(st.integers(1, 6), max_size=30),
)
def test_the_law_any_splitting_of_the_rows_gives_the_same_grid(
    times: list[int], policy: Any, up_to_ms: float, reorder_ms: float, sizes: list[int]
) -> None:
    grid = Grid(GridConfig(policy=policy, up_to_ms=up_to_ms, reorder_ms=reorder_ms), 50)
    whole, after = placed(grid, [rows(times)])
    single, after_single = placed(grid, [rows([time]) for time in times])
    at, parts = 0, []
    for size in [*sizes, len(times)]:
        if times[at : at + size]:
            parts.append(rows(times[at : at + size]))
        at += size
    ragged, after_ragged = placed(grid, parts)
    assert samples(whole) == samples(single) == samples(ragged)
    assert repr(after) == repr(after_single) == repr(after_ragged)
    # Every row was heard, or is counted as dropped.
    assert after.tally.dropped <= len(times)
    lost = [item for item in whole if isinstance(item, Gap)]
    heard = len(samples(whole)) - sum(gap.end - gap.start for gap in lost)
    if policy != "interpolate":
        assert heard == len(times) - after.tally.dropped + after.tally.filled


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=60), st.sampled_from(POLICIES), st.integers(1, 977))
def test_what_comes_on_the_grid_is_itself_to_the_bit(values: list[float], policy: Any, rate: int) -> None:
    times = [17 + k * 1_000_000_000 // rate for k in range(len(values))]
    items, state = placed(Grid(GridConfig(policy=policy), rate), [rows(times, values)])
    assert samples(items) == values
    assert state.tally.dropped == state.tally.filled == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=3, max_size=80))
def test_rows_that_jitter_are_drawn_onto_the_line(jitter: list[int]) -> None:
    """Of a ramp, whose rows are their own times, the samples on the grid are the times of the grid."""
    times = [(k * 20 + off) * MS for k, off in enumerate([0, *jitter])]
    items, state = placed(Grid(GridConfig(policy="interpolate"), 50), [rows(times)])
    told = samples(items)
    assert state.tally.filled == 0
    assert len(told) == len(times)
    np.testing.assert_allclose(told[:-1], [20.0 * k for k in range(len(times) - 1)], rtol=0, atol=1e-3)
    # Without the line each row is a sample, and none is lost at the middle between two.
    for policy in ("hold", "gap"):
        items, state = placed(Grid(GridConfig(policy=policy), 50), [rows(times)])
        assert samples(items) == [time / MS for time in times]


def test_a_short_absence_is_filled_and_a_long_one_is_a_gap() -> None:
    times = [0, 20, 80, 100, 400, 420]
    expected = {
        "hold": [0, 20, 20, 20, 80, 100, *[MISSING] * 14, 400, 420],
        "interpolate": [0, 20, 40, 60, 80, 100, *[MISSING] * 14, 400, 420],
        "gap": [0, 20, MISSING, MISSING, 80, 100, *[MISSING] * 14, 400, 420],
    }
    for policy in POLICIES:
        grid = Grid(GridConfig(policy=policy, up_to_ms=100), 50)
        items, state = placed(grid, [rows([time * MS for time in times])])
        assert samples(items) == expected[policy], policy
        assert state.tally.filled == (0 if policy == "gap" else 2)


def test_out_of_order_within_the_window_is_put_in_order_and_beyond_it_dropped() -> None:
    grid = Grid(GridConfig(policy="hold", up_to_ms=1000, reorder_ms=60), 50)
    items, state = placed(grid, [rows([time * MS for time in (0, 40, 20, 60, 60, 120, 140, 160, 80, 180, 0)])])
    assert samples(items) == [0, 20, 40, 60, 60, 60, 120, 140, 160, 180]
    assert (state.tally.reordered, state.tally.duplicate, state.tally.late, state.tally.filled) == (1, 1, 2, 2)
    # A row waits only where one is missing before it.
    told, _ = grid.step(rows([0, 20 * MS, 40 * MS]), grid.initial_state(1))
    assert samples(told) == [0, 20, 40]


@pytest.mark.parametrize("to", [-7000, 10**8])
def test_a_clock_that_is_set_costs_a_gap_and_not_the_stream(to: int) -> None:
    """One row from elsewhere is dropped; where others follow it for a second, the grid goes on there."""
    grid = Grid(GridConfig(policy="hold"), 50)
    times = [*range(0, 200, 20), to, *range(200, 400, 20), *range(to, to + 3000, 20)]
    items, state = placed(grid, [rows([time * MS for time in times], range(len(times)))])
    assert state.tally.late + state.tally.ahead == 1 + 50
    assert samples(items) == [*range(10), *range(11, 21), ITS_CLOCK, *range(71, 171)]


def test_a_device_that_is_faster_than_its_grid_gives_up_a_row_now_and_then() -> None:
    times = [k * 1_000_000_000 // 51 for k in range(510)]
    items, state = placed(Grid(GridConfig(policy="hold"), 50), [rows(times)])
    assert state.tally.crowded == 10
    assert len(samples(items)) == 500
    items, state = placed(Grid(GridConfig(policy="interpolate"), 50), [rows(times)])
    assert state.tally.dropped == 0
    np.testing.assert_allclose(samples(items), [20.0 * k for k in range(500)], rtol=1e-6, atol=1e-3)


def test_two_to_the_61_nanoseconds_at_a_megahertz() -> None:
    for begin in (-(2**61) + 1, 2**61 - 10**9):
        times = [begin + k * 1000 for k in range(1000)]
        items, _ = placed(Grid(GridConfig(policy="gap"), 1_000_000), [rows(times, [float(k) for k in range(1000)])])
        assert samples(items) == [float(k) for k in range(1000)]


def test_times_are_read_to_the_nanosecond() -> None:
    assert nanoseconds("1767225600.123456789", "s") == 1_767_225_600_123_456_789
    assert nanoseconds(b"12.5", "ms") == 12_500_000
    assert nanoseconds(-3, "us") == -3000
    assert nanoseconds(1e3, "ns") == 1000
    for wrong in ("nan", "", "1_0", "inf", "1e30", "1e999999999", "noon"):
        with pytest.raises(ValueError, match="is no time"):
            nanoseconds(wrong, "s")


def test_rows_that_are_brought_again_are_left_out_by_their_count() -> None:
    """A client that sends two seconds again after a break is not taken for a clock that was set."""
    config = SensorConfig(grid=GridConfig(policy="hold"), watch=ChannelsConfig(below_hz=0))
    placing = Placing(Opened("a", 50, 1, timed=True), config, ["0"], ())
    first = rows([k * 20 * MS for k in range(150)])
    items = [*placing.placed(first), *placing.placed(Chunk("a", 50, first.samples[50:], first.times[50:]))]
    # A gap that the source declares in rows is the reason of the one that the times show.
    items += placing.placed(Gap("a", 150, 250, "muted"))
    later = rows([k * 20 * MS for k in range(250, 260)])
    items += placing.placed(Chunk("a", 250, later.samples, later.times))
    heard = [item for item in [*items, *placing.finish()] if not isinstance(item, Note)]
    assert samples(heard) == [*range(0, 3000, 20), *["muted"] * 100, *range(5000, 5200, 20)]
    assert placing.tally.duplicate == 100
