"""Frames of segments: counted as by hand, over the minutes of all recordings, with intervals that hold the values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.evaluation import overlap
from streamrnn.evaluation.matching import Interval, match
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.run import Stream

RATE = 10  # frames a second, and samples


@dataclass(frozen=True)
class Heard:
    """What was said and heard in a recording of some frames."""

    frames: int
    said: tuple[Interval, ...]
    heard: tuple[Interval, ...]

    def stream(self) -> Stream:
        recording = Recording(Path("a.wav"), RATE, 1, "", "", (), (0, self.frames), "events")
        return Stream(recording, self.said, self.heard, (), match(self.said, self.heard))


def interval(start: int, length: int, label: str) -> Interval:
    return Interval(start / RATE, (start + length) / RATE, label)


intervals = st.lists(
    st.builds(interval, st.integers(0, 900), st.integers(1, 300), st.sampled_from("ab")), max_size=4
).map(tuple)
some = st.lists(st.builds(Heard, st.integers(1, 1500), intervals, intervals), min_size=1, max_size=4)


def by_hand(one: Heard, label: str) -> tuple[int, int, int]:
    def inside(frame: int, all_of_them: tuple[Interval, ...]) -> bool:
        middle = (frame + 0.5) / RATE
        return any(each.start <= middle < each.end for each in all_of_them if each.label == label)

    frames = [(inside(frame, one.said), inside(frame, one.heard)) for frame in range(one.frames)]
    return sum(s and h for s, h in frames), sum(h for _, h in frames), sum(s for s, _ in frames)


@given(some)
def test_frames_are_counted_as_by_hand(those: list[Heard]) -> None:
    streams = [each.stream() for each in those]
    found = overlap.estimates(streams, RATE)
    totals = [by_hand(each, label) for each in those for label in "ab"]
    both, heard, said = (sum(total[i] for total in totals) for i in range(3))
    for name, count, of in (
        ("frame_precision", both, heard),
        ("frame_recall", both, said),
        ("frame_f1", 2 * both, heard + said),
    ):
        if not of:
            assert name not in found
            continue
        assert (found[name].count, found[name].of) == (count, of)
        assert 0 <= found[name].low <= found[name].value <= found[name].high <= 1
    for label, scores in overlap.by_label(streams, RATE).items():
        assert scores["frames"] == sum(by_hand(each, label)[2] for each in those) > 0


def test_what_is_heard_as_it_was_said_is_all_right_and_certain_over_many_recordings() -> None:
    said = (interval(5, 20, "a"),)
    found = overlap.estimates([Heard(50, said, said).stream()] * 5, RATE)
    assert {(each.value, each.low, each.high) for each in found.values()} == {(1.0, 1.0, 1.0)}


def test_a_single_minute_says_nothing_of_others_and_two_do() -> None:
    said, heard = (interval(0, 900, "a"),), (interval(0, 450, "a"), interval(700, 200, "a"))
    alone = overlap.estimates([Heard(600, said, heard).stream()], RATE)["frame_recall"]
    assert (alone.value, alone.low, alone.high) == (0.75, 0.0, 1.0)
    two = overlap.estimates([Heard(900, said, heard).stream()], RATE)["frame_recall"]
    assert (two.low, two.value, two.high) == pytest.approx((2 / 3, 650 / 900, 0.75), abs=0.1)


def test_nothing_said_and_nothing_heard_is_no_figure() -> None:
    assert overlap.estimates([Heard(50, (), ()).stream()], RATE) == {}
    assert overlap.by_label([], RATE) == {}
