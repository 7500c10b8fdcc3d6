"""Matching: each thing said and heard is used once, hits are as many as there can be, and widening only helps."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from streamrnn.evaluation.matching import Interval, Matching, match

moments = st.integers(0, 40).map(lambda tenths: tenths / 4)
intervals = st.builds(
    lambda start, length, label: Interval(start, start + length, label), moments, moments, st.sampled_from("ab")
)
some = st.lists(intervals, max_size=6)
tolerances = st.sampled_from([0.0, 0.25, 0.5, 2.0])


def hit_window(said: Interval, heard: Interval, tolerance: float) -> bool:
    return heard.start <= said.end + tolerance and heard.end >= said.start - tolerance


def most_hits(said: list[Interval], heard: list[Interval], tolerance: float) -> int:
    """By trying every assignment."""
    possible = [
        [-1, *(h for h in range(len(heard)) if heard[h].label == s.label and hit_window(s, heard[h], tolerance))]
        for s in said
    ]
    counts = ([h for h in choice if h >= 0] for choice in itertools.product(*possible))
    return max((len(used) for used in counts if len(set(used)) == len(used)), default=0)


@given(some, some, tolerances)
def test_every_pair_is_within_its_window_and_everything_is_used_once(
    said: list[Interval], heard: list[Interval], tolerance: float
) -> None:
    matching = match(said, heard, tolerance)
    pairs = [*matching.hits, *matching.confusions]
    assert all(hit_window(said[s], heard[h], tolerance) for s, h in pairs)
    assert all(said[s].label == heard[h].label for s, h in matching.hits)
    assert all(said[s].label != heard[h].label for s, h in matching.confusions)
    assert len({s for s, _ in pairs}) == len({h for _, h in pairs}) == len(pairs)
    assert sorted([*matching.missed, *(s for s, _ in matching.hits)]) == list(range(len(said)))
    assert sorted([*matching.false, *(h for _, h in matching.hits)]) == list(range(len(heard)))


@given(st.lists(intervals, max_size=4), st.lists(intervals, max_size=4), tolerances)
def test_hits_are_as_many_as_there_can_be(said: list[Interval], heard: list[Interval], tolerance: float) -> None:
    assert len(match(said, heard, tolerance).hits) == most_hits(said, heard, tolerance)


@given(some, some, tolerances)
def test_said_and_heard_may_change_places(said: list[Interval], heard: list[Interval], tolerance: float) -> None:
    there, back = match(said, heard, tolerance), match(heard, said, tolerance)
    assert len(there.hits) == len(back.hits)
    assert len(there.missed) == len(back.false)


@given(some, some, tolerances, tolerances)
def test_a_wider_window_never_loses_a_hit(said: list[Interval], heard: list[Interval], one: float, two: float) -> None:
    narrow, wide = sorted((one, two))
    assert len(match(said, heard, narrow).hits) <= len(match(said, heard, wide).hits)


@given(some, some, intervals, tolerances)
def test_one_more_event_is_one_more_hit_at_most(
    said: list[Interval], heard: list[Interval], extra: Interval, tolerance: float
) -> None:
    before, after = len(match(said, heard, tolerance).hits), len(match(said, [*heard, extra], tolerance).hits)
    assert before <= after <= before + 1


@given(some)
def test_what_is_heard_exactly_as_said_is_all_hits(said: list[Interval]) -> None:
    assert len(match(said, said, 0.0).hits) == len(said)


def test_a_second_detection_of_one_word_is_false() -> None:
    said = [Interval(1.0, 1.5, "alexa")]
    heard = [Interval(1.4, 1.6, "alexa"), Interval(1.7, 1.8, "alexa")]
    assert match(said, heard) == Matching(hits=((0, 0),), confusions=(), missed=(), false=(1,))


def test_a_wrong_word_is_a_miss_and_a_false_accept_and_named_as_confusion() -> None:
    said = [Interval(1.0, 1.5, "alexa")]
    heard = [Interval(1.4, 1.6, "jarvis")]
    assert match(said, heard) == Matching(hits=(), confusions=((0, 0),), missed=(0,), false=(0,))


def test_a_detection_beyond_the_window_is_no_hit() -> None:
    said = [Interval(1.0, 1.5, "alexa")]
    assert match(said, [Interval(2.0, 2.1, "alexa")]).hits == ((0, 0),)
    assert match(said, [Interval(2.01, 2.1, "alexa")]).hits == ()
