"""Channels that freeze, saturate or vanish are told of by name, for any chunks the same."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.channels import ChannelsConfig, ChannelWatch
from streamrnn.chunk import Chunk, Gap, Note

NAMES = ("ax", "ay", "az")


def told(watch: ChannelWatch, items: Sequence[Chunk | Gap]) -> list[Note]:
    state = watch.initial_state()
    notes: list[Note] = []
    for item in items:
        before = copy.deepcopy(state)
        said, after = watch.step(item, state)
        assert repr(state) == repr(before)
        notes, state = notes + said, after
    return notes


def moving(seconds: int, rate: int = 50) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((seconds * rate, 3)).astype(np.float32)


def states(notes: Sequence[Note]) -> list[tuple[str, str]]:
    return [(note.state, note.text.split(":")[0].removeprefix("channel ")) for note in notes]


def test_each_of_the_three_is_told_once_and_when_it_is_over() -> None:
    samples = moving(60)
    samples[500:1500, 1] = 0.25  # 20 s
    samples[2000:2200, 2] = np.nan
    samples[2500:2600:2, 0] = 7.9  # half of two seconds, at a range of 8 or so
    watch = ChannelWatch(ChannelsConfig(frozen_s=10.0, full_scale=7.9), 50, NAMES, 0.0)
    notes = told(watch, [Chunk("a", 0, samples)])
    assert states(notes) == [
        ("frozen", "ay"),
        ("recovered", "ay"),
        ("vanished", "az"),
        ("recovered", "az"),
        ("saturated", "ax"),
        ("recovered", "ax"),
    ]
    assert notes[0].text == "channel ay: nothing but 0.25 for 10 s; is its sensor alive?"


def test_what_may_stand_still_and_what_nobody_knows_is_not_told() -> None:
    samples = moving(60)
    samples[:, 1] = 1.0
    samples[:, 0] = 1.0
    watch = ChannelWatch(ChannelsConfig(frozen_s=10.0, still=("ay", "ax")), 50, NAMES, 0.0)
    assert told(watch, [Chunk("a", 0, samples)]) == []
    assert told(ChannelWatch(ChannelsConfig(frozen_s=0), 50, NAMES, 0.0), [Chunk("a", 0, samples)]) == []
    assert states(told(ChannelWatch(ChannelsConfig(), 50, NAMES, 1.0), [Chunk("a", 0, samples)]))[:2] == [
        ("saturated", "ax"),
        ("saturated", "ay"),
    ]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 120), min_size=1, max_size=20),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 900), st.integers(1, 400), st.sampled_from([0.5, np.nan, 9])),
        max_size=4,
    ),
    st.integers(0, 5),
)
def test_any_chunks_tell_the_same(sizes: list[int], faults: list[tuple[int, int, int, float]], lost: int) -> None:
    samples = moving(20)
    for channel, start, n, value in faults:
        samples[start : start + n, channel] = value
    watch = ChannelWatch(ChannelsConfig(frozen_s=3.0, full_scale=9), 50, NAMES, 0.0)
    begin = 75 * lost
    parts: list[Chunk | Gap] = [Chunk("a", 0, samples[:130]), Gap("a", 130, 130 + begin, "missing")]
    at, rest = 0, samples[130:]
    for size in [*sizes, len(rest)]:
        if len(rest[at : at + size]):
            parts.append(Chunk("a", 130 + begin + at, rest[at : at + size]))
        at += size
    assert told(watch, parts) == told(watch, [parts[0], parts[1], Chunk("a", 130 + begin, rest)])
