"""Targets: which frames of a labelled word are positive, which teach nothing, and that the judge means the same."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tones import HOP, RATE, recognizer

from streamrnn.evaluation.playable import Segment
from streamrnn.evaluation.recordings import Recording
from streamrnn.evaluation.run import frame_labels
from streamrnn.recognizer import BACKGROUND, LabelsConfig, Recognizer, TargetsConfig
from streamrnn.training.pieces import Clip, Span, targets
from streamrnn.training.whole import whole_piece


def with_targets(config: TargetsConfig, delay: int = 0) -> Recognizer:
    made = recognizer()
    return msgspec.structs.replace(made, config=msgspec.structs.replace(made.config, targets=config), delay=delay)


SEGMENTS = st.lists(st.tuples(st.integers(1, 5 * HOP), st.sampled_from(["l", "high", "_rest"]), st.booleans()))


@given(SEGMENTS, st.integers(0, 3 * HOP))
def test_training_and_judging_mean_the_same_frames(parts: list[tuple[int, str, bool]], delay: int) -> None:
    made = with_targets(TargetsConfig(), delay)
    segments, at = [], 0
    for length, label, known in parts:
        if known:
            segments.append(Segment(at, at + length, label))
        at += length
    length = at + HOP
    recording = Recording(None, RATE, 1, "", "", tuple(segments), (0, length), "samples")  # type: ignore[arg-type]
    number = {"l": 0, "high": 1}
    spans = tuple(Span(s.start, s.end, number[s.label]) for s in segments if s.label in number)
    clip = Clip(np.zeros((length, 1), np.float32), spans, "", "", "", tuple((s.start, s.end) for s in segments))
    piece = whole_piece(made, clip)
    names = {(0.0, 0.0): BACKGROUND, (1.0, 0.0): "low", (0.0, 1.0): "high"}
    taught = [
        names[tuple(target)] if teaches else ""
        for target, teaches in zip(piece.target.tolist(), piece.teaches, strict=True)
    ]
    assert taught == frame_labels(made, recording, piece.frames)


def test_a_frame_is_of_the_label_that_holds_at_its_last_sample() -> None:
    target, teaches = targets(with_targets(TargetsConfig()), 4, [Span(HOP - 1, 2 * HOP, 0)])
    assert target[:, 0].tolist() == [1, 1, 0, 0]
    target, _ = targets(with_targets(TargetsConfig()), 4, [Span(HOP, 2 * HOP - 1, 0)])
    assert target[:, 0].tolist() == [0, 0, 0, 0]
    assert teaches.all()


def test_at_its_end_a_word_is_positive_once_it_can_be_known_and_doubtful_before() -> None:
    frame_ms = 1000 * HOP / RATE
    config = TargetsConfig(place="end", before_ms=frame_ms, after_ms=2 * frame_ms, ignore_ms=2 * frame_ms)
    target, teaches = targets(with_targets(config), 12, [Span(HOP, 6 * HOP, 1)])
    assert target[:, 1].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0]
    assert teaches.tolist() == [1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert not target[:, 0].any()


def test_of_overlapping_spans_one_of_takes_the_later_and_any_of_takes_both() -> None:
    spans = [Span(0, 3 * HOP, 0), Span(2 * HOP, 4 * HOP, 1)]
    one_of = with_targets(TargetsConfig())
    assert targets(one_of, 4, spans)[0].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    any_of = msgspec.structs.replace(one_of, config=msgspec.structs.replace(one_of.config, head=LabelsConfig()))
    assert targets(any_of, 4, spans)[0].tolist() == [[1, 0], [1, 0], [1, 1], [0, 1]]
