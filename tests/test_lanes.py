"""Lanes: every frame of every piece once and in order, streams begin on the grid, cursors are all there is to save."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import recognizer

from streamrnn.recognizer import Recognizer
from streamrnn.training.lanes import Cursor, Lanes, Unroll
from streamrnn.training.pieces import Clip, Piece

RECOGNIZER: Recognizer = recognizer()
HOP = RECOGNIZER.hop


class Numbered:
    """Pieces whose every frame says which it is: the target holds (piece + 1, frame), the samples their sum."""

    def __init__(self, lengths: Sequence[int], anew: Sequence[bool]) -> None:
        self.lengths, self.anew = lengths, anew

    def frames(self, lane: int, index: int) -> int:
        return self.lengths[(lane * 5 + index) % len(self.lengths)]

    def piece(self, lane: int, index: int) -> Piece:
        frames = self.frames(lane, index)
        target = np.stack([np.full(frames, index + 1), np.arange(frames)], axis=1).astype(np.float32)
        samples = np.repeat(target.sum(axis=1), HOP)[:, None] + lane / 8
        return Piece(samples.astype(np.float32), target, np.ones(frames, np.float32), self.anew[index % len(self.anew)])

    def judged(self, clips: Sequence[Clip]) -> list[Piece]:
        return []

    def suspects(self, step: int) -> Iterator[np.ndarray]:
        return iter(())

    def weigh(self, scores: np.ndarray) -> None:
        raise AssertionError("nothing was listened to")


MATERIAL = st.builds(
    Numbered, st.lists(st.integers(1, 40), min_size=1, max_size=5), st.lists(st.booleans(), min_size=1, max_size=5)
)


def lanes(material: Numbered, cursors: Sequence[Cursor], unroll: int, parts: int) -> Lanes:
    return Lanes(material, RECOGNIZER, cursors, unroll, parts)


def same(one: Unroll, other: Unroll) -> bool:
    arrays = all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ("samples", "target", "teaches"))
    segments = [
        (a.start, a.end, a.first.tolist()) == (b.start, b.end, b.first.tolist())
        for a, b in zip(one.segments, other.segments, strict=True)
    ]
    return arrays and all(segments) and one.after == other.after


@settings(deadline=None)
@given(MATERIAL, st.integers(1, 30), st.integers(1, 6), st.integers(1, 3))
def test_every_frame_of_every_piece_comes_once_and_in_order(
    material: Numbered, unroll: int, parts: int, rows: int
) -> None:
    made = lanes(material, [Cursor()] * rows, unroll, parts)
    unrolls = [made.next() for _ in range(6)]
    for lane in range(rows):
        came = [
            (int(piece) - 1, int(frame))
            for each in unrolls
            for (piece, frame), teaches in zip(each.target[lane], each.teaches[lane], strict=True)
            if teaches
        ]
        wanted = [(k, f) for k in range(len(came) + 1) for f in range(material.frames(lane, k))][: len(came)]
        assert came == wanted
        for each in unrolls:
            taught = np.repeat(each.teaches[lane] > 0, HOP)
            said = np.repeat(each.target[lane].sum(axis=1), HOP) + lane / 8
            assert np.array_equal(each.samples[lane, taught, 0], said[taught].astype(np.float32))


@settings(deadline=None)
@given(MATERIAL, st.integers(1, 30), st.integers(1, 6))
def test_streams_begin_anew_on_the_grid_and_nowhere_else(material: Numbered, unroll: int, parts: int) -> None:
    made = lanes(material, [Cursor()] * 2, unroll, parts)
    grid = max(1, unroll // parts)
    for _ in range(5):
        each = made.next()
        assert [s.start for s in each.segments] == [0, *(s.end for s in each.segments)][:-1]
        assert each.segments[-1].end == unroll
        first = np.zeros((2, unroll), bool)
        for segment in each.segments:
            first[:, segment.start] |= segment.first
        begins = (each.target[..., 1] == 0) & (each.teaches > 0)
        anew = np.array([material.anew[(k - 1) % len(material.anew)] for k in range(int(each.target.max()) + 1)])
        assert np.array_equal(first, begins & anew[each.target[..., 0].astype(int)])
        assert not (np.flatnonzero(first.any(axis=0)) % grid).any()


@settings(deadline=None)
@given(MATERIAL, st.integers(1, 30), st.integers(1, 6), st.integers(0, 4))
def test_lanes_from_saved_cursors_go_on_exactly(material: Numbered, unroll: int, parts: int, before: int) -> None:
    made = lanes(material, [Cursor()] * 3, unroll, parts)
    saved: Sequence[Cursor] = made.cursors
    for _ in range(before):
        saved = made.next().after
    again = lanes(material, saved, unroll, parts)
    for _ in range(3):
        assert same(made.next(), again.next())


@given(MATERIAL, st.integers(1, 30))
def test_pieces_that_go_on_leave_no_frame_empty(material: Numbered, unroll: int) -> None:
    material.anew = [False]
    made = lanes(material, [Cursor()] * 2, unroll, 4)
    assert all(made.next().teaches.all() for _ in range(4))


def test_unequal_clips_that_begin_anew_waste_little() -> None:
    """Spoken digits: 0.15 to 2.3 s, most near 0.4; rows padded to the longest would be a third full."""
    random = np.random.default_rng(0)
    frames = np.clip(np.exp(random.normal(np.log(0.41), 0.5, 200)), 0.15, 2.3) * 50
    material = Numbered(frames.astype(int).tolist(), [True])
    made = lanes(material, [Cursor()] * 16, 75, 4)
    share = np.mean([made.next().teaches.mean() for _ in range(20)])
    assert frames.mean() / frames.max() < 0.45
    assert share > 0.7


def test_whole_recordings_come_one_an_unroll() -> None:
    material = Numbered([3, 10, 7], [True])
    made = lanes(material, [Cursor()] * 2, 10, 1)
    for turn in range(3):
        each = made.next()
        assert len(each.segments) == 1
        assert each.segments[0].first.all()
        assert [int(row.sum()) for row in each.teaches] == [material.frames(lane, turn) for lane in range(2)]
