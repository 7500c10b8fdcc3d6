"""A device that may go and come back: its stream obeys the law, and nobody is told a device that is another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.chunk import Chunk, Ended, Gap, Item, Note, Opened
from streamrnn.errors import DeviceError
from streamrnn.sources.drift import Drift
from streamrnn.sources.portaudio import Identity, Listed, find
from streamrnn.sources.presence import ANOTHER, FIRST_S, LONGEST_S, Presence
from streamrnn.testing.source import check_source

RATE = 100
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["block", "late", "quiet", "gone", "failed", "opened", "paused"]),
        st.floats(0.0, 50.0),
        st.integers(1, 30),
    ),
    max_size=40,
)


def block(n: int, value: float = 0.5) -> np.ndarray:
    samples = np.full((n, 1), value, np.float32)
    samples[::2] += 0.1
    return samples


def notes(items: list[Item]) -> list[str]:
    return [item.state for item in items if isinstance(item, Note)]


def lost(items: list[Item]) -> int:
    return sum(item.end - item.start for item in items if isinstance(item, Gap))


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_whatever_a_device_does_its_stream_obeys_the_law_and_keeps_pace_with_the_clock(
    events: list[tuple[str, float, int]],
) -> None:
    presence, now, count = Presence("mic", RATE, 0.0, 3.0), 0.0, 0
    presence.opened(now)
    items: list[Item] = [Opened("mic", RATE, 1)]
    first, slack = -1.0, 0.0
    for event, passed, n in events:
        if event in ("block", "late"):
            if presence.waiting:  # nothing comes from what is closed
                continue
            skipped = n if event == "late" and count else 0  # found no room
            now += (n + skipped) / RATE
            first = first if first >= 0 else now - n / RATE
            items += presence.heard(now, count + skipped, block(n))
            count += n + skipped
            assert not presence.offline
            assert abs(presence.expected - (now - first) * RATE) <= 1 + slack
        elif event == "quiet":
            now += min(passed, 2.9)
            items += presence.quiet(now, min(passed, 2.9))
            count += round(min(passed, 2.9) * RATE) if not presence.waiting else 0
            slack += 1
        elif event in ("gone", "failed"):
            now += passed
            items += presence.gone(now, "it is unplugged")
            assert presence.waiting
            assert presence.condition == "offline"
            slack += 1
        elif event == "opened" and presence.waiting:
            presence.opened(now)
            count = 0
        elif event == "paused" and not presence.waiting:
            items += presence.paused(ANOTHER)
            presence.opened(now)
            count, slack = 0, slack + 1
    told = notes(items)
    assert told == (["offline", "online"] * len(told))[: len(told)]
    check_source(lambda: [*items, Ended("mic")])


def test_an_absence_is_told_at_once_and_costs_what_the_clock_says() -> None:
    presence = Presence("mic", RATE, 0.0, 3.0)
    presence.opened(0.0)
    items = presence.heard(1.0, 0, block(100))
    for _ in range(15):
        items += presence.quiet(4.0, 0.2)
    assert notes(items) == ["offline"]
    assert lost(items) == 300
    pauses = []
    now = 4.0
    for _ in range(12):
        pauses.append(presence.due(now))
        now += pauses[-1]
        assert presence.gone(now, "it is not there") == []
    assert pauses[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert max(pauses) == LONGEST_S
    presence.opened(now)
    assert presence.condition == "offline"  # until something is heard
    items = presence.heard(now + 0.5, 7000, block(50))
    assert notes(items) == ["online"]
    assert lost(items) == round((now - 4.0) * RATE)
    presence.gone(now + 0.6, "again")
    assert presence.due(now + 0.6) == FIRST_S


def test_before_the_first_sample_nothing_is_lost() -> None:
    presence = Presence("mic", RATE, 0.0, 3.0)
    presence.opened(0.0)
    assert lost(presence.gone(5.0, "it does not start")) == 0
    presence.opened(60.0)
    items = presence.heard(61.0, 0, block(10))
    assert notes(items) == ["online"]
    assert [item.start for item in items if isinstance(item, Chunk)] == [0]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=20), st.sampled_from([0.0, 0.25]))
def test_dead_silence_is_told_once_and_is_no_gap(sizes: list[int], value: float) -> None:
    presence = Presence("mic", RATE, 0.0, 3.0, silence_s=5.0)
    presence.opened(0.0)
    items, count, now = presence.heard(0.01, 0, block(1)), 1, 0.01
    for n in sizes:
        now += n / RATE
        items += presence.heard(now, count, np.full((n, 1), value, np.float32))
        count += n
    dead = sum(sizes) >= 500 + sizes[0]  # the first block may be what changed
    assert notes(items) == ["silent"] or not dead
    assert (presence.condition == "silent") == ("silent" in notes(items))
    if presence.silent:
        assert ("zeros" in repr(items)) == (value == 0.0)
        assert notes(presence.heard(now + 0.1, count, block(10))) == ["heard"]
    assert lost(items) == 0


def test_one_dead_channel_of_two_is_not_dead_silence_and_nan_is_no_constant() -> None:
    for channel in (np.sin(np.arange(1000)), np.full(1000, np.nan)):
        presence = Presence("mic", RATE, 0.0, 3.0, silence_s=5.0)
        presence.opened(0.0)
        samples = np.stack([np.zeros(1000), channel], axis=1).astype(np.float32)
        assert notes(presence.heard(10.0, 0, samples)) == []


def listed(*names: str) -> list[Listed]:
    return [{"index": i, "name": name, "hostapi": 0} for i, name in enumerate(names)]


USB = "USB Audio: - (hw:1,0)"


@pytest.mark.parametrize(
    ("there", "index"),
    [
        ((USB,), 0),
        (("Built-in (hw:0,0)", "USB Audio: - (hw:2,0)"), 1),  # another number after it was plugged in again
        (("Webcam: USB Audio (hw:1,0)", "Built-in (hw:0,0)"), -1),  # another device in its place
        (("USB Audio: - 2 (hw:1,0)",), -1),
        (("USB Audio: - (hw:1,0)", "USB Audio: - (hw:2,0)"), -1),  # it may be either
        ((), -1),
    ],
)
def test_the_same_device_again_and_never_another(there: tuple[str, ...], index: int) -> None:
    before = listed("Built-in (hw:0,0)", USB)
    identity = Identity.of(before[1], before)
    if index >= 0:
        assert identity.among(listed(*there))["index"] == index
    else:
        with pytest.raises(DeviceError) as caught:
            identity.among(listed(*there))
        assert "\n" not in str(caught.value)


def test_one_of_two_alike_is_known_by_its_number_alone() -> None:
    before = listed(USB, "USB Audio: - (hw:2,0)")
    identity = Identity.of(before[0], before)
    assert identity.among(before)["index"] == 0
    with pytest.raises(DeviceError):
        identity.among(before[1:])


def test_a_name_that_fits_none_or_several_says_what_there_is() -> None:
    there = listed("Built-in (hw:0,0)", USB, "USB Camera (hw:2,0)")
    assert find(there, "usb audio", 0)["index"] == 1
    assert find(there, "", 2)["index"] == 2
    for name in ("usb", "USB Mikrophone"):
        with pytest.raises(DeviceError) as caught:
            find(there, name, 0)
        assert USB in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ppm", [-120.0, 0.0, 35.0])
def test_drift_is_measured_through_delays_of_tens_of_milliseconds(ppm: float) -> None:
    rng, rate, n = np.random.default_rng(3), 16000, 320
    drift, real = Drift(rate), rate * (1 + ppm * 1e-6)
    for i in range(1, 600 * 50):
        drift.add(i * n / real + rng.exponential(0.01), i * n)
        if i == 50 * 50:
            assert drift.ppm == 0.0  # too early to tell
    assert drift.ppm == pytest.approx(ppm, abs=3.0)
