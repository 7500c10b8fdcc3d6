"""Reliability: bins and calibration errors by hand, and the frames are those that training teaches."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tones import HOP, RATE, recognizer

from streamrnn.evaluation.playable import Segment
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.reliability import (
    BINS,
    calibration_error,
    calibration_errors,
    diagram,
    reliability,
    taught,
)
from streamrnn.recognizer import LabelsConfig, Recognizer, TargetsConfig
from streamrnn.targets import Span, targets

POSTERIORS = st.lists(
    st.tuples(st.integers(1, 99), st.integers(1, 99), st.integers(1, 99), st.integers(0, 2)), min_size=1, max_size=40
)


def any_of() -> Recognizer:
    made = recognizer()
    config = msgspec.structs.replace(made.config, head=LabelsConfig())
    return msgspec.structs.replace(made, config=config, columns=("low", "high"))


@given(POSTERIORS)
def test_the_error_is_that_of_the_definition(rows: list[tuple[int, int, int, int]]) -> None:
    weights = np.array([row[:3] for row in rows], np.float64)
    said = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    truth = np.array([row[3] for row in rows])
    target = np.eye(3, dtype=np.float32)[truth][:, 1:]
    found = reliability(recognizer(), said, target, np.ones(len(rows), np.float32)).all_frames
    highest, right = said.max(axis=1), said.argmax(axis=1) == truth
    expected = 0.0
    for place in range(BINS):
        inside = (highest >= place / BINS) & (highest < (place + 1) / BINS)
        if inside.any():
            expected += inside.mean() * abs(highest[inside].mean() - right[inside].mean())
    assert calibration_error(found) == pytest.approx(expected, abs=1e-4)
    assert found[:, 0].sum() == len(rows)
    assert [row["frames"] for row in diagram([found])] == [count for count in found[:, 0] if count]


def test_frames_that_do_not_teach_and_background_are_told_apart() -> None:
    said = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]], np.float32)
    target = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    found = reliability(recognizer(), said, target, np.array([1, 1, 0], np.float32))
    assert (found.all_frames[:, 0].sum(), found.all_frames[:, 2].sum()) == (2, 2)
    assert (found.labels[:, 0].sum(), found.labels[:, 2].sum()) == (1, 1)


def test_where_any_label_may_hold_each_is_looked_at() -> None:
    said = np.array([[0.9, 0.2], [0.9, 0.2]], np.float32)
    target = np.array([[1, 0], [0, 1]], np.float32)
    found = reliability(any_of(), said, target, np.ones(2, np.float32)).all_frames
    assert found[:, 0].sum() == 4
    assert calibration_error(found) == pytest.approx(0.5 * 0.4 + 0.5 * 0.3, abs=1e-6)


def test_the_error_of_honest_posteriors_is_small_and_its_interval_holds_it() -> None:
    random = np.random.default_rng(0)
    each = []
    for _ in range(20):
        said = random.dirichlet([1, 1, 1], 500).astype(np.float32)
        truth = np.array([random.choice(3, p=row / row.sum()) for row in said.astype(np.float64)])
        target = np.eye(3, dtype=np.float32)[truth][:, 1:]
        each.append(reliability(recognizer(), said, target, np.ones(500, np.float32)).all_frames)
    error = calibration_errors(each)
    assert error.low <= error.value <= error.high < 0.05
    for row in diagram(each):
        assert row["low"] <= row["right"] <= row["high"]


SPANS = st.lists(st.tuples(st.integers(1, 5 * HOP), st.sampled_from(["l", "high", "_rest"])), min_size=1, max_size=6)


@given(SPANS, st.integers(0, 4 * HOP), st.sampled_from(["samples", "events"]), st.sampled_from(["whole", "end"]))
def test_the_frames_are_those_that_training_teaches(
    parts: list[tuple[int, str]], margin: int, labelled: str, place: str
) -> None:
    made = recognizer()
    config = TargetsConfig(place=place, before_ms=40, after_ms=60, ignore_ms=50)  # type: ignore[arg-type]
    made = msgspec.structs.replace(made, config=msgspec.structs.replace(made.config, targets=config))
    at, segments = HOP, []
    for length, label in parts:
        segments.append(Segment(at, at + length, label))
        at += length + HOP
    recording = Recording(Path("x"), RATE, 1, "", "", tuple(segments), (0, at), labelled)  # type: ignore[arg-type]
    frames = (at + 2 * margin) // HOP
    number = {"l": 0, "high": 1}
    spans = [Span(s.start + margin, s.end + margin, number[s.label]) for s in segments if s.label in number]
    wanted, teaches = targets(made, frames, spans)
    if labelled == "samples":
        last = (np.arange(frames) + 1) * HOP - 1 - margin
        teaches *= [any(s.start <= sample < s.end for s in segments) for sample in last]
    given_target, given_teaches = taught(made, recording, frames, margin)
    np.testing.assert_array_equal(given_target, wanted)
    np.testing.assert_array_equal(given_teaches, teaches)
