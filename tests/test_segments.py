"""Segments: each from where its label rose to where it fell, over pauses that are short enough to belong to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn import decoders
from streamrnn.decoders import Found, SegmentsConfig
from streamrnn.recognizer import FrameConfig, GruConfig, LabelsConfig, Recognizer, RecognizerConfig
from streamrnn.testing import check_decoder

FRAME_MS = 10


def recognizer(config: SegmentsConfig) -> Recognizer:
    described = RecognizerConfig(
        name="voice",
        rate=1000,
        labels={"speech": ()},
        features=(FrameConfig(),),
        model=GruConfig(),
        head=LabelsConfig(),
        decoder=config,
    )
    return Recognizer(config=described, columns=("speech",), hop=FRAME_MS, delay=0, warm_up=1)


def segments(scores: list[float], config: SegmentsConfig) -> list[Found]:
    decoder = decoders.build(config, recognizer(config))
    found, track = decoder(np.array(scores, np.float32)[None, :, None], decoder.initial_track(1))
    return found + decoder.finish(track)


def config(hold: int) -> SegmentsConfig:
    return SegmentsConfig(smooth_ms=0.0, enter=0.6, leave=0.4, hold_ms=float(hold * FRAME_MS))


def by_hand(scores: list[float], hold: int) -> list[tuple[int, int]]:
    """Runs over `leave`, of which one that reaches `enter` takes in all that follow after at most `hold` low frames."""
    runs: list[list[int]] = []
    for frame, score in enumerate(scores):
        if score >= 0.4:
            if runs and runs[-1][1] == frame:
                runs[-1][1] = frame + 1
            else:
                runs.append([frame, frame + 1])
    found: list[tuple[int, int]] = []
    for start, end in runs:
        if found and start - found[-1][1] <= hold:
            found[-1] = found[-1][0], end
        elif max(scores[start:end]) >= 0.6:
            found.append((start, end))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]), min_size=1, max_size=60), st.integers(0, 6))
def test_pauses_that_are_no_longer_than_the_hold_lie_in_a_segment(scores: list[float], hold: int) -> None:
    heard = segments(scores, config(hold))
    assert [(found.start, found.end) for found in heard] == by_hand(scores, hold)
    assert all(found.frame <= found.end + hold for found in heard)


def test_the_score_is_that_of_the_segment_and_not_of_the_pause_after_it() -> None:
    (found,) = segments([0.0, *[0.8] * 10, *[0.0] * 50], config(20))
    assert (found.start, found.end, found.frame) == (1, 11, 31)
    assert found.score == pytest.approx(0.8)


@pytest.mark.parametrize("hold", [0, 1, 7])
@pytest.mark.parametrize("columns", [1, 3])
def test_a_hold_keeps_the_law(hold: int, columns: int) -> None:
    made = config(hold)
    wide = recognizer(made)
    names = tuple(f"label{i}" for i in range(columns))
    decoder = decoders.build(made, Recognizer(wide.config, names, wide.hop, wide.delay, wide.warm_up))
    check_decoder(decoder, columns, trials=3)
