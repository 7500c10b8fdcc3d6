"""Variants of recordings of sensors: labels move with the samples, and turns keep lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.decoders import SegmentsConfig
from streamrnn.recognizer import ClassesConfig, FrameConfig, GruConfig, Recognizer, RecognizerConfig
from streamrnn.training.pieces import Clip, Span, Supply
from streamrnn.training.plan import Range, WholeConfig
from streamrnn.training.wearing import at_speed, rotation, turned, varied
from streamrnn.training.whole import Whole


def clip(length: int = 200) -> Clip:
    """The last channel is 1 where label 0 holds, from 80 to 140, and is known from 40 on."""
    samples = np.random.default_rng(0).standard_normal((length, 3)).astype(np.float32)
    samples[:, 2] = 0.0
    samples[80:140, 2] = 1.0
    return Clip(samples, (Span(80, 140, 0),), "", "", "", ((40, length),))


def test_a_config_that_asks_for_nothing_changes_nothing() -> None:
    one = clip()
    other = varied(one, WholeConfig(), np.random.default_rng(1))
    assert np.array_equal(one.samples, other.samples)
    assert (one.spans, one.known) == (other.spans, other.known)


@given(st.floats(0.5, 2.0))
def test_labels_move_with_the_samples_at_any_speed(factor: float) -> None:
    faster = at_speed(clip(), factor)
    (span,) = faster.spans
    assert faster.samples[span.start + 1 : span.end - 1, 2].min() == pytest.approx(1.0)
    assert abs(faster.samples[:, 2].sum() - (span.end - span.start)) <= 2
    assert len(faster.samples) == pytest.approx(200 / factor, abs=1)
    assert faster.known[0][1] == len(faster.samples)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 180))
def test_a_turn_keeps_lengths_and_angles_and_turns_no_further_than_asked(seed: int, most: float) -> None:
    turn = rotation(np.random.default_rng(seed), most)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-5)
    assert np.linalg.det(turn) == pytest.approx(1.0, abs=1e-5)
    assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) <= most + 0.1


def test_all_vectors_of_a_recording_turn_together() -> None:
    turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert turned(x, turn).tolist() == [[1, 0, 2, 4, -3, 5], [7, -6, 8, 10, -9, 11]]


@given(st.integers(0, 10**6))
def test_a_recording_from_anywhere_on_keeps_its_labels(seed: int) -> None:
    config = WholeConfig(starts="anywhere", gain_db=3.0, speed=Range(0.9, 1.1))
    part = varied(clip(), config, np.random.default_rng(seed))
    assert len(part.samples) >= 200 / 1.1 * 0.1
    for span in part.spans:
        assert part.samples[span.start + 1 : span.end - 1, 2].min(initial=9) > 0.5
    if not part.spans:
        assert part.samples[1:, 2].max(initial=0) == 0
    for start, end in part.known:
        assert 0 <= start < end <= len(part.samples)


def test_the_same_draw_is_the_same_variant_and_another_is_another() -> None:
    config = WholeConfig(turn_degrees=20, noise=0.1, gain_db=1, speed=Range(0.9, 1.1))
    first, again, other = (varied(clip(), config, np.random.default_rng(seed)).samples for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_lanes_that_start_apart_hear_all_but_their_first_recording_from_its_begin() -> None:
    config = RecognizerConfig(
        name="one",
        rate=50,
        channels=3,
        labels={"on": ()},
        features=(FrameConfig(window_ms=200, hop_ms=200),),
        model=GruConfig(),
        head=ClassesConfig(),
        decoder=SegmentsConfig(),
    )
    recognizer = Recognizer(config, ("_background", "on"), hop=10, delay=0, warm_up=1)
    material = Whole(WholeConfig(starts="apart"), recognizer, [clip()], Supply(seed=0, lanes=8))
    first, second = ([len(material.piece(lane, index).samples) for lane in range(8)] for index in (0, 1))
    assert len(set(first)) > 3
    assert set(second) == {200}
